// A dedicated script: its process is kept, and `main` is called once per job.
export function main({ number }) {
  return number;
}
