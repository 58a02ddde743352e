// The visitor's microphone, as s16le pieces.
import { SILENCE, toDb } from "./level.js";

export class Microphone {
  #context = null;
  #media = null;
  #turn = 0;

  constructor() {
    this.on = false;
    this.level = SILENCE;
  }

  /**
   * Listen; `onRate(rate)` comes before the first `onPiece(buffer)`. Rejects when that cannot be,
   * and does nothing more once it is stopped.
   */
  async start(onRate, onPiece) {
    const turn = ++this.#turn;
    this.on = true;
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: false };
    const media = await navigator.mediaDevices.getUserMedia({ audio });
    if (turn !== this.#turn) {
      release(media);
      return;
    }
    this.#media = media;
    // Its own context at the device's rate: Firefox connects no others. The service resamples.
    const context = new AudioContext();
    this.#context = context;
    await context.audioWorklet.addModule("console/microphone-worklet.js");
    await onRate(context.sampleRate);
    if (turn !== this.#turn) return;
    const recorder = new AudioWorkletNode(context, "recorder", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    recorder.port.onmessage = ({ data }) => {
      if (turn !== this.#turn) return;
      this.level = toDb(data.rms);
      onPiece(data.pcm);
    };
    context.createMediaStreamSource(media).connect(recorder);
  }

  stop() {
    this.#turn++;
    release(this.#media);
    this.#context?.close();
    this.#media = this.#context = null;
    this.on = false;
    this.level = SILENCE;
  }
}

function release(media) {
  for (const track of media?.getTracks() ?? []) track.stop();
}
