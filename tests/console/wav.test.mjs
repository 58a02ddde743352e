import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { MARKS } from "../../app/console/sample.js";
import { NotWav, readWav } from "../../app/console/wav.js";

function chunk(name, body, size = body.length) {
  const bytes = new Uint8Array(8 + body.length + (body.length & 1));
  bytes.set(new TextEncoder().encode(name));
  new DataView(bytes.buffer).setUint32(4, size, true);
  bytes.set(body, 8);
  return [...bytes];
}

function format({ tag = 1, channels = 1, rate = 16000, bytes = 2, extra = [] } = {}) {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, tag, true);
  view.setUint16(2, channels, true);
  view.setUint32(4, rate, true);
  view.setUint32(8, rate * channels * bytes, true);
  view.setUint16(12, channels * bytes, true);
  view.setUint16(14, bytes * 8, true);
  return [...new Uint8Array(view.buffer), ...extra];
}

function wav(...chunks) {
  return new Uint8Array([
    ...chunk("RIFF", []),
    ...new TextEncoder().encode("WAVE"),
    ...chunks.flat(),
  ]);
}

test("a file tells its rate, its length and where its audio begins", () => {
  const read = readWav(
    wav(chunk("LIST", [1, 2, 3]), chunk("fmt ", format()), chunk("data", Array(3200).fill(0))),
  );

  assert.deepEqual([16000, 1, 100], [read.rate, read.channels, read.ms]);
  assert.equal(12 + 12 + 24 + 8, read.dataAt);
});

test("a size that means until the end is taken so", () => {
  for (const size of [0, 0x7fffffff, 0xffffffff]) {
    const read = readWav(wav(chunk("fmt ", format()), chunk("data", Array(320).fill(0), size)));

    assert.equal(10, read.ms);
  }
});

test("an extensible format is what it says inside", () => {
  const extra = [22, 0, 16, 0, 4, 0, 0, 0, 3, 0];
  const read = readWav(
    wav(chunk("fmt ", format({ tag: 0xfffe, bytes: 4, extra })), chunk("data", Array(640).fill(0))),
  );

  assert.equal(10, read.ms);
});

for (const [what, bytes, words] of [
  ["something else", new Uint8Array(100), /not a WAV/],
  ["nothing", new Uint8Array(0), /not a WAV/],
  ["no audio", wav(chunk("fmt ", format())), /no audio/],
  ["audio without a format", wav(chunk("data", [1, 2])), /no audio/],
  [
    "compressed audio",
    wav(chunk("fmt ", format({ tag: 0x55 })), chunk("data", [1, 2])),
    /compressed/,
  ],
  [
    "surround",
    wav(chunk("fmt ", format({ channels: 6 })), chunk("data", [1, 2])),
    /mono and stereo/,
  ],
]) {
  test(`${what} is refused with words for people`, () => {
    assert.throws(
      () => readWav(bytes),
      (error) => error instanceof NotWav && words.test(error.message),
    );
  });
}

test("the sample is small, and its marks lie in it", () => {
  const bytes = new Uint8Array(
    readFileSync(new URL("../../app/console/sample.wav", import.meta.url)),
  );
  const { ms } = readWav(bytes);

  assert.ok(bytes.length < 150_000);
  assert.ok(MARKS.every((mark, index) => mark.ms <= ms && mark.ms > (MARKS[index - 1]?.ms ?? 0)));
});
