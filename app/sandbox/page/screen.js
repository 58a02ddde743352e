// Shows pictures when the sound of their moment is heard.

const MOST = 15; // pictures that wait, 0.6 s; more and the oldest go
const DECODING = 3;

export class Screen {
  #canvas;
  #context;
  #waiting = []; // {at: capture time, microseconds; image}
  #decoding = 0;
  #heard = null; // {at: capture time that was heard at the moment `now`, both in microseconds}
  shownAt = 0; // performance.now() of the last picture

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    const show = () => {
      this.#show();
      requestAnimationFrame(show);
    };
    requestAnimationFrame(show);
  }

  hear(at) {
    this.#heard = { at, now: performance.now() * 1000 };
  }

  clear() {
    for (const { image } of this.#waiting.splice(0)) image.close();
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#heard = null;
  }

  async take(at, jpeg) {
    if (this.#decoding >= DECODING) return; // this machine is too slow for all of them
    this.#decoding++;
    try {
      const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
      this.#waiting.push({ at, image });
      this.#waiting.sort((one, other) => one.at - other.at);
      while (this.#waiting.length > MOST) this.#waiting.shift().image.close();
    } finally {
      this.#decoding--;
    }
  }

  #show() {
    const heard = this.#heard && this.#heard.at + performance.now() * 1000 - this.#heard.now;
    let newest = null;
    while (this.#waiting.length && (heard === null || this.#waiting[0].at <= heard)) {
      newest?.close();
      newest = this.#waiting.shift().image;
    }
    if (!newest) return;
    if (this.#canvas.width !== newest.width) {
      this.#canvas.width = newest.width;
      this.#canvas.height = newest.height;
    }
    this.#context.drawImage(newest, 0, 0);
    newest.close();
    this.shownAt = performance.now();
  }
}
