// The avatar's picture, drawn when its time has come.

const REFRESH_MS = 16; // what is drawn now is seen when the display is next refreshed
const MOST_WAITING = 25;
const MOST_DECODING = 3;
const RATE_OVER_MS = 2000;

export class Screen {
  #waiting = [];
  #decoding = 0;
  #drawn = [];

  constructor(canvas, playout) {
    this.canvas = canvas;
    this.playout = playout;
    this.crop = 0; // of the picture's height, at its lower edge
    this.onShown = () => {};
    this.context = canvas.getContext("2d");
  }

  /** Take a JPEG frame. */
  async push(frame) {
    if (this.#decoding >= MOST_DECODING) return;
    this.#decoding++;
    try {
      const bitmap = await createImageBitmap(new Blob([frame.payload], { type: "image/jpeg" }));
      this.#waiting.push({ frame, bitmap });
      this.#waiting.sort((one, other) => one.frame.capture - other.frame.capture);
      if (this.#waiting.length > MOST_WAITING) this.#waiting.shift().bitmap.close();
    } catch {
      // A broken picture is one that never came.
    } finally {
      this.#decoding--;
    }
  }

  /** Draw the newest picture that is due; call it once a picture of the display. */
  draw(now) {
    const captured = this.playout.captured(now + REFRESH_MS);
    let due = null;
    while (this.#waiting.length && this.#waiting[0].frame.capture <= captured) {
      due?.bitmap.close();
      due = this.#waiting.shift();
    }
    if (!due) return;
    const { frame, bitmap } = due;
    const height = Math.round(bitmap.height * (1 - this.crop));
    if (this.canvas.width !== bitmap.width || this.canvas.height !== height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = height;
    }
    this.context.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#drawn.push(now);
    this.onShown(frame, now);
  }

  /** Pictures a second, of late. */
  rate(now) {
    while (this.#drawn.length && this.#drawn[0] < now - RATE_OVER_MS) this.#drawn.shift();
    return this.#drawn.length / (RATE_OVER_MS / 1000);
  }

  clear() {
    for (const { bitmap } of this.#waiting) bitmap.close();
    this.#waiting = [];
    this.#drawn = [];
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}

/** Nothing for no pictures. */
export function rateInWords(rate) {
  const pictures = Math.round(rate);
  if (pictures === 0) return "";
  return pictures === 1 ? "1 picture a second" : `${pictures} pictures a second`;
}
