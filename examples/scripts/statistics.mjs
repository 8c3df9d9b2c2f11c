// A dedicated script in JavaScript: the same as in Python, with the arguments as one object.
export async function main({ numbers }) {
  console.log("counting", numbers.length, "numbers");
  const sum = numbers.reduce((a, b) => a + b, 0);
  return { count: numbers.length, mean: sum / numbers.length, max: Math.max(...numbers) };
}
