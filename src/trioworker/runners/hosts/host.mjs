// Host of a script in JavaScript or TypeScript: calls its `main` for one job after the other, or
// once.
//
//     node host.mjs JOBS_FD REPLIES_FD SCRIPT
//     node host.mjs once SCRIPT
//
// The second form finds the arguments where a script of its own does, and puts there what comes of
// them. A function `preprocess` of the script makes of its arguments those of its `main`.
//
// Every reply is written, blocking, before the next job begins: when the process dies, the first
// unanswered job is the one that was running. Reading stays asynchronous, so that timers and
// connections of the script live on between jobs. The lines are described in framing.py.

import { createReadStream, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { basename } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { format } from "node:util";

const SLICE_MS = 1;
const OURS = [import.meta.url, fileURLToPath(import.meta.url)]; // both stand in stack traces
const { bun, deno } = process.versions;
const once = process.argv[2] === "once";
const [jobsFd, inheritedFd] = process.argv.slice(2, 4).map(Number);
const script = process.argv[once ? 3 : 4];
// deno writes only to what it has opened itself; bun has no Socket for a descriptor.
const repliesFd = deno && !once ? openSync(`/dev/fd/${inheritedFd}`, "w") : inheritedFd;
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

async function serve(functions) {
  send('{"ready":true}');
  while (!ended) {
    if (waiting.length === 0) await arrival();
    // A cancellation that waits to be read is seen before its job begins: no job begins later
    // than SLICE_MS after the last look.
    const looked = performance.now();
    while (waiting.length > 0 && !ended && performance.now() - looked < SLICE_MS) {
      const pending = run(functions, waiting.shift());
      if (pending) await pending;
    }
    if (waiting.length > 0) await turn();
  }
}

// Runs one job and answers it; returns a promise only when there is something to wait for.
function run({ main, preprocess }, line) {
  const { id, args, shared, unreadable } = parsed(line);
  job = last = id;
  if (cancelled.delete(id)) return answer('"dropped":true');
  if (unreadable) return answer(errorBody(unreadable));
  if (shared) process.env.TRIOWORKER_SHARED = shared;
  else if (process.env.TRIOWORKER_SHARED) delete process.env.TRIOWORKER_SHARED;
  if (preprocess) return runPreprocessed(main, preprocess, args);
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

async function runPreprocessed(main, preprocess, args) {
  let made = "";
  let body;
  try {
    const text = preprocessed(await preprocess(args));
    made = `"preprocessed":${text},`;
    body = resultBody(await main(JSON.parse(text)));
  } catch (error) {
    body = errorBody(error);
  }
  answer(made + body);
}

// What `preprocess` returned, as JSON.
function preprocessed(made) {
  if (made !== null && typeof made === "object") return JSON.stringify(made);
  throw new TypeError(`preprocess returned a ${typeof made}; it returns the arguments of main`);
}

// Calls the functions for one job, as the environment says.
async function runOnce({ main, preprocess }) {
  const { TRIOWORKER_ARGS, TRIOWORKER_PREPROCESSED, TRIOWORKER_RESULT } = process.env;
  let args = JSON.parse(readFileSync(TRIOWORKER_ARGS, "utf8"));
  if (preprocess) {
    const text = preprocessed(await preprocess(args));
    writeFileSync(TRIOWORKER_PREPROCESSED, text);
    args = JSON.parse(text);
  }
  const result = await main(args);
  writeFileSync(TRIOWORKER_RESULT, JSON.stringify(result) ?? "null");
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

// The functions of the script. Throws what the script throws.
async function load() {
  const module = await import(pathToFileURL(script).href);
  const main = module.main ?? module.default?.main ?? module.default;
  const preprocess = module.preprocess ?? module.default?.preprocess;
  if (typeof main !== "function") {
    const who = preprocess ? "one that preprocesses" : "a dedicated script";
    const message = `${basename(script)} exports no function main; ${who} needs one`;
    throw Object.assign(new Error(message), { name: "Refused" });
  }
  return { main, preprocess: typeof preprocess === "function" ? preprocess : null };
}

async function loadForGood() {
  try {
    return await load();
  } catch (error) {
    const forGood =
      ["SyntaxError", "Refused"].includes(error?.name) ||
      error?.code === "ERR_UNKNOWN_FILE_EXTENSION";
    cannotStart(forGood ? "refused" : "failed", describe(error));
  }
}

if (once) {
  try {
    await runOnce(await load());
  } catch (error) {
    console.error(describe(error).traceback ?? describe(error).message);
    process.exit(1);
  }
} else {
  captureOutput();
  const functions = await loadForGood();
  readJobs();
  await serve(functions);
}
process.exit(0);
