// Looks into a WAV file, so that what is wrong with it is told before it is sent.

const PCM = 1;
const FLOAT = 3;
const ALAW = 6;
const MULAW = 7;
const EXTENSIBLE = 0xfffe;
const PLAYABLE = new Set([PCM, FLOAT, ALAW, MULAW]);
const UNTIL_THE_END = new Set([0, 0x7fffffff, 0xffffffff]);

export class NotWav extends Error {}

/** Return `{rate, channels, bytesPerMs, dataAt, ms}`. Throws NotWav with words for people. */
export function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || word(view, 0) !== "RIFF" || word(view, 8) !== "WAVE") {
    throw new NotWav("This is not a WAV file.");
  }
  let format = null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true);
    if (word(view, at) === "fmt " && at + 24 <= bytes.length)
      format = readFormat(view, at + 8, size);
    if (word(view, at) === "data") {
      if (!format) break;
      const left = bytes.length - at - 8;
      const length = UNTIL_THE_END.has(size) ? left : Math.min(size, left);
      return { ...format, dataAt: at + 8, ms: length / format.bytesPerMs };
    }
    at += 8 + size + (size & 1);
  }
  throw new NotWav("This WAV file holds no audio.");
}

function readFormat(view, at, size) {
  let tag = view.getUint16(at, true);
  if (tag === EXTENSIBLE && size >= 26 && at + 26 <= view.byteLength)
    tag = view.getUint16(at + 24, true);
  if (!PLAYABLE.has(tag))
    throw new NotWav("This WAV file is compressed in a way that is not supported.");
  const channels = view.getUint16(at + 2, true);
  const rate = view.getUint32(at + 4, true);
  const bytesPerMs = (rate * view.getUint16(at + 12, true)) / 1000;
  if (!bytesPerMs || channels > 2) throw new NotWav("Only mono and stereo can be spoken.");
  return { rate, channels, bytesPerMs };
}

function word(view, at) {
  return String.fromCharCode(...[0, 1, 2, 3].map((offset) => view.getUint8(at + offset)));
}
