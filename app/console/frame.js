// One binary message of the stream: a header of 28 bytes in network byte order, then the payload.

export const HEADER_BYTES = 28;
export const PICTURE = 1;
export const SOUND = 2;
export const PERSON = 3;

const VERSION = 1;
const NOT_KNOWN = 0xffffffff;

/** Read a frame. Throws RangeError for what is none. Times are Unix milliseconds. */
export function readFrame(buffer) {
  if (buffer.byteLength < HEADER_BYTES) throw new RangeError("shorter than a frame's header");
  const view = new DataView(buffer);
  if (view.getUint8(0) !== VERSION) throw new RangeError(`frame version ${view.getUint8(0)}`);
  const offset = view.getUint32(20);
  const frame = {
    kind: view.getUint8(1),
    codec: view.getUint8(2),
    skipped: (view.getUint8(3) & 1) === 1,
    seq: view.getUint32(4),
    capture: Number(view.getBigUint64(8)) / 1000,
    utterance: view.getUint32(16),
    offset: offset === NOT_KNOWN ? null : offset,
    payload: new Uint8Array(buffer, HEADER_BYTES),
  };
  if (frame.kind === PICTURE) {
    frame.width = view.getUint16(24);
    frame.height = view.getUint16(26);
  } else {
    frame.rate = view.getUint32(24);
  }
  return frame;
}

/** The samples of a sound frame, -1 to 1. A header of 28 bytes keeps them aligned. */
export function samples(frame) {
  const { buffer, byteOffset, byteLength } = frame.payload;
  const pcm = new Int16Array(buffer, byteOffset, byteLength >> 1);
  return Float32Array.from(pcm, (value) => value / 32768);
}
