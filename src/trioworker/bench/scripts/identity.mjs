// The job of `bench dedicated`: its arguments are its result.
export function main(args) {
  return args;
}
