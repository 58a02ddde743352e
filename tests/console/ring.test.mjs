import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring } from "../../app/console/ring.js";

function read(ring, at, length) {
  const out = new Float32Array(length);
  ring.read(at, out);
  return [...out];
}

test("samples are heard at their place, and nothing where none came for", () => {
  const ring = new Ring(100);

  assert.equal(0, ring.write(4, [1, 2, 3]));

  assert.deepEqual([0, 0, 0, 0], read(ring, 0, 4));
  assert.deepEqual([1, 2, 3, 0], read(ring, 4, 4));
});

test("a place is heard once, also when the ring comes round", () => {
  const ring = new Ring(8);

  ring.write(0, [1, 1, 1, 1, 1, 1, 1, 1]);
  read(ring, 0, 8);

  assert.deepEqual(Array(8).fill(0), read(ring, 8, 8));
});

test("what comes too late, or for much too late, is counted and not heard", () => {
  const ring = new Ring(8);

  read(ring, 0, 4);

  assert.equal(2, ring.write(2, [1, 1, 5]));
  assert.equal(1, ring.write(11, [1, 1]));
  assert.deepEqual([5, 0], read(ring, 4, 2));
});

test("a gap in reading forgets what stood in it", () => {
  const ring = new Ring(8);

  ring.write(0, [1, 2, 3, 4]);
  assert.deepEqual([3, 4], read(ring, 2, 2));

  ring.write(8, [7, 7]);
  assert.deepEqual([7, 7], read(ring, 8, 2));
});
