// Audio for the replica: a file, or a microphone. Whatever is said next, and every interrupt, ends
// what is being sent.

const SLICE_BYTES = 16 * 1024;
const LOOK_AGAIN_MS = 40;

export class Speech {
  #turn = 0;

  /** `onSent(utteranceId, ms)` hears how much of an utterance has been sent. */
  constructor(session, onSent) {
    this.session = session;
    this.onSent = onSent;
  }

  /** Send no more of what is being sent. */
  stop() {
    this.#turn++;
  }

  /**
   * Send a WAV file; `wav` is what readWav says of it, `marks` are `{name, ms}` in order. Resolves
   * to whether all of it was sent.
   */
  async play(name, bytes, wav, marks = []) {
    const turn = ++this.#turn;
    const mouth = await this.session.mouth();
    const id = utteranceId(name);
    if (turn !== this.#turn) return false;
    mouth.send({ type: "utterance.start", utterance_id: id, format: { encoding: "wav" } });
    const places = marks.map(({ name: mark, ms }) => ({ mark, at: place(wav, ms) }));
    for (let at = 0; at < bytes.length;) {
      while (this.session.paused || mouth.full) {
        await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
        if (turn !== this.#turn || !mouth.open) return false;
      }
      const end = Math.min(at + SLICE_BYTES, places[0]?.at ?? Infinity, bytes.length);
      mouth.audio(bytes.subarray(at, end));
      at = end;
      while (places[0]?.at <= at) mouth.send({ type: "mark", name: places.shift().mark });
      this.onSent(id, Math.max(0, (at - wav.dataAt) / wav.bytesPerMs));
    }
    mouth.send({ type: "utterance.end", utterance_id: id });
    return true;
  }

  /** Open an utterance for s16le mono of this rate; `push` its audio, `end` it. */
  async live(name, rate) {
    const turn = ++this.#turn;
    const mouth = await this.session.mouth();
    const id = utteranceId(name);
    const format = { encoding: "pcm_s16le", sample_rate: rate, channels: 1 };
    let ms = 0;
    let open = false;
    return {
      push: (pcm) => {
        if (turn !== this.#turn) return;
        // Opened by its first audio: a microphone that hears nothing yet says nothing.
        if (!open) mouth.send({ type: "utterance.start", utterance_id: id, format });
        open = true;
        mouth.audio(pcm);
        this.onSent(id, (ms += (pcm.byteLength / 2 / rate) * 1000));
      },
      end: () => {
        if (turn === this.#turn && open) mouth.send({ type: "utterance.end", utterance_id: id });
      },
    };
  }
}

function place(wav, ms) {
  const frame = Math.round(wav.bytesPerMs * 1000) / wav.rate; // bytes of one sample of all channels
  return wav.dataAt + Math.round((ms * wav.rate) / 1000) * frame;
}

function utteranceId(name) {
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
  return `${name}-${random}`;
}
