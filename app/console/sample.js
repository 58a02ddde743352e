// The built-in sample, spoken by espeak-ng; the marks stand at the ends of its sentences.

export const SAMPLE = "console/sample.wav";

export const MARKS = [
  { name: "hello", ms: 1814 },
  { name: "any voice", ms: 6426 },
  { name: "interrupt me", ms: 8427 },
];
