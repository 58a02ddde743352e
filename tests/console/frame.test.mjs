import assert from "node:assert/strict";
import { test } from "node:test";
import {
  HEADER_BYTES,
  PERSON,
  PICTURE,
  readFrame,
  samples,
  SOUND,
} from "../../app/console/frame.js";

/** A frame as the service writes it, in network byte order. */
function frame({ kind, codec = 1, flags = 0, offset = 40, last, payload = [], version = 1 }) {
  const buffer = new ArrayBuffer(HEADER_BYTES + payload.length);
  const view = new DataView(buffer);
  [version, kind, codec, flags].forEach((value, at) => view.setUint8(at, value));
  view.setUint32(4, 7);
  view.setBigUint64(8, 1_700_000_000_123_456n);
  view.setUint32(16, 3);
  view.setUint32(20, offset);
  if (last.length === 2) last.forEach((value, at) => view.setUint16(24 + 2 * at, value));
  else view.setUint32(24, last[0]);
  new Uint8Array(buffer).set(payload, HEADER_BYTES);
  return buffer;
}

test("a picture has its size, its time and what is said in it", () => {
  const read = readFrame(frame({ kind: PICTURE, flags: 1, last: [640, 360], payload: [9, 8] }));

  assert.deepEqual([640, 360], [read.width, read.height]);
  assert.deepEqual([7, 3, 40, true], [read.seq, read.utterance, read.offset, read.skipped]);
  assert.ok(Math.abs(1_700_000_000_123.456 - read.capture) < 0.001);
  assert.deepEqual([9, 8], [...read.payload]);
});

test("sound has its rate, and samples between -1 and 1", () => {
  const payload = [0, 0, 0, 128, 0, 64];
  const read = readFrame(frame({ kind: SOUND, last: [24000], payload }));

  assert.equal(24000, read.rate);
  assert.deepEqual([0, -1, 0.5], [...samples(read)]);
});

test("an offset that is not known is null", () => {
  assert.equal(null, readFrame(frame({ kind: PERSON, last: [16000], offset: 0xffffffff })).offset);
});

test("what is no frame is refused", () => {
  assert.throws(() => readFrame(new ArrayBuffer(27)), RangeError);
  assert.throws(() => readFrame(frame({ kind: PICTURE, last: [1, 1], version: 2 })), RangeError);
});
