// Host of a dedicated script in JavaScript or TypeScript: calls its `main` for one job after the
// other.
//
//     node host.mjs JOBS_FD REPLIES_FD SCRIPT
//
// Every reply is written, blocking, before the next job begins: when the process dies, the first
// unanswered job is the one that was running. Reading stays asynchronous, so that timers and
// connections of the script live on between jobs. The lines are described in framing.py.

import { createReadStream, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { basename } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { format } from "node:util";

const SLICE_MS = 1;
const OURS = [import.meta.url, fileURLToPath(import.meta.url)]; // both stand in stack traces
const { bun, deno } = process.versions;
const [jobsFd, inheritedFd] = process.argv.slice(2, 4).map(Number);
const script = process.argv[4];
// deno writes only to what it has opened itself; bun has no Socket for a descriptor.
const repliesFd = deno ? openSync(`/dev/fd/${inheritedFd}`, "w") : inheritedFd;
const openJobs = () =>
  bun
    ? createReadStream(null, { fd: jobsFd })
    : new Socket({ fd: jobsFd, readable: true, writable: false });

const waiting = []; // lines of jobs, oldest first
const cancelled = new Set();
let job = 0; // the running one
let last = 0; // the one begun last
let wake = null;
let ended = false;

function send(line) {
  const data = Buffer.from(line + "\n");
  for (let sent = 0; sent < data.length; ) {
    sent += writeSync(repliesFd, data, sent);
  }
}

function describe(error) {
  if (!(error instanceof Error)) {
    return { name: "Error", message: `main threw ${String(error)}`, traceback: null };
  }
  const stack = String(error.stack ?? "").split("\n");
  const ours = stack.findIndex((line) => OURS.some((name) => line.includes(name)));
  return {
    name: String(error.name),
    message: String(error.message),
    traceback: (ours < 0 ? stack : stack.slice(0, ours)).join("\n"),
  };
}

function resultBody(value) {
  try {
    const text = value === undefined ? "null" : JSON.stringify(value);
    if (text !== undefined) return `"result":${text}`;
    throw new TypeError(`a ${typeof value} has no JSON`);
  } catch (error) {
    const message = `main returned a value that cannot be written as JSON: ${error.message}`;
    return `"error":${JSON.stringify({ name: "UnserializableResult", message })}`;
  }
}

function errorBody(error) {
  return `"error":${JSON.stringify(describe(error))}`;
}

// Standard output and error of the script become lines tagged with the running job.
function captureOutput() {
  const write = (chunk, encoding, callback) => {
    const text = typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
    if (text) send(JSON.stringify({ id: job, log: text }));
    const done = typeof encoding === "function" ? encoding : callback;
    if (done) queueMicrotask(done);
    return true;
  };
  process.stdout.write = write;
  process.stderr.write = write;
  // deno and bun print past process.stdout.
  if (deno || bun) {
    for (const name of ["log", "info", "debug", "warn", "error"]) {
      console[name] = (...values) => write(format(...values) + "\n");
    }
  }
}

function onLine(line) {
  if (!line.startsWith('{"cancel":')) {
    waiting.push(line);
    return;
  }
  const id = JSON.parse(line).cancel;
  if (id > last) cancelled.add(id);
}

function readJobs() {
  const input = openJobs();
  let begun = [];
  input.on("data", (chunk) => {
    let from = 0;
    for (let to; (to = chunk.indexOf(10, from)) >= 0; from = to + 1) {
      begun.push(chunk.subarray(from, to));
      onLine((begun.length === 1 ? begun[0] : Buffer.concat(begun)).toString());
      begun = [];
    }
    if (from < chunk.length) begun.push(chunk.subarray(from));
    wake?.();
  });
  const end = () => {
    ended = true;
    wake?.();
  };
  input.on("end", end);
  input.on("error", end);
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const arrival = () => new Promise((resolve) => (wake = resolve));

async function serve(main) {
  send('{"ready":true}');
  while (!ended) {
    if (waiting.length === 0) await arrival();
    // A cancellation that waits to be read is seen before its job begins: no job begins later
    // than SLICE_MS after the last look.
    const looked = performance.now();
    while (waiting.length > 0 && !ended && performance.now() - looked < SLICE_MS) {
      const pending = run(main, waiting.shift());
      if (pending) await pending;
    }
    if (waiting.length > 0) await turn();
  }
}

// Runs one job and answers it; returns a promise only when `main` does.
function run(main, line) {
  const { id, args, unreadable } = parsed(line);
  job = last = id;
  if (cancelled.delete(id)) return answer('"dropped":true');
  if (unreadable) return answer(errorBody(unreadable));
  let result;
  try {
    result = main(args);
  } catch (error) {
    return answer(errorBody(error));
  }
  if (typeof result?.then !== "function") return answer(resultBody(result));
  return result.then(
    (value) => answer(resultBody(value)),
    (error) => answer(errorBody(error)),
  );
}

function answer(body) {
  send(`{"id":${job},${body}}`);
  job = 0;
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch (error) {
    return { id: Number(/^\{"id":(\d+)/.exec(line)?.[1] ?? 0), unreadable: error };
  }
}

function cannotStart(how, { name, message, traceback }) {
  send(JSON.stringify({ [how]: { name, message, traceback } }));
  process.exit(0);
}

async function load() {
  let module;
  try {
    module = await import(pathToFileURL(script).href);
  } catch (error) {
    const forGood = error?.name === "SyntaxError" || error?.code === "ERR_UNKNOWN_FILE_EXTENSION";
    cannotStart(forGood ? "refused" : "failed", describe(error));
  }
  const main = module.main ?? module.default?.main ?? module.default;
  if (typeof main !== "function") {
    const message = `${basename(script)} exports no function main; a dedicated script needs one`;
    cannotStart("refused", { name: "Refused", message });
  }
  return main;
}

captureOutput();
const main = await load();
readJobs();
await serve(main);
process.exit(0);
