// One WebSocket of a session: connects with a fresh session token, comes back when it is lost.

const PROTOCOL = "avatar-bridge.v1";
const TOKEN_TTL_S = 60;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
const HELLO_MS = 10_000;
const FULL_BYTES = 1 << 20;

/** Closed for good: the same again would end the same way. */
const FINAL = new Set([1000, 1009, 4400, 4401, 4403, 4404, 4409, 4410, 4415, 4429, 4503]);

export class Stream {
  #socket = null;
  #timer = null;
  #wait = FIRST_WAIT_MS;
  #over = false;
  #hello = Promise.withResolvers?.() ?? withResolvers();

  /**
   * `role` is the token's; `comesBack` whether a lost connection is made again. `on` has
   * `message(object)`, `frame(buffer)`, `lost()` and `closed(code, problem)`.
   */
  constructor(service, sessionId, { role, query = {}, comesBack = true, resume = null, on = {} }) {
    Object.assign(this, { service, sessionId, role, query, comesBack, on });
    this.resume = resume; // {token, seq}
    this.#hello.promise.catch(() => {});
  }

  /** Resolves when the service has said hello; rejects when the connection never comes. */
  get hello() {
    return this.#hello.promise;
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Whether it will never be open again. */
  get over() {
    return this.#over;
  }

  /** Whether as much waits to be sent as is useful. */
  get full() {
    return (this.#socket?.bufferedAmount ?? 0) > FULL_BYTES;
  }

  async connect() {
    if (this.#over) return;
    let minted;
    try {
      minted = await this.service.post(
        `sessions/${this.sessionId}/tokens`,
        { role: this.role, ttl_s: TOKEN_TTL_S },
        { quiet: true },
      );
    } catch (problem) {
      if (problem.retryable && this.comesBack) this.#again();
      else this.#end(null, problem);
      return;
    }
    if (this.#over) return;
    const socket = new WebSocket(this.#address(), [PROTOCOL, `bearer.${minted.token}`]);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ code }) => this.#closed(socket, code);
    this.#socket = socket;
  }

  send(message) {
    if (!this.open) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  audio(bytes) {
    if (this.open) this.#socket.send(bytes);
  }

  close() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#hello.reject(new Error("closed"));
  }

  #address() {
    const address = new URL(`sessions/${this.sessionId}/stream`, document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    for (const [name, value] of Object.entries(this.query)) address.searchParams.set(name, value);
    if (this.resume) {
      address.searchParams.set("resume", this.resume.token);
      address.searchParams.set("seq", this.resume.seq);
    }
    return address;
  }

  #take(data) {
    if (this.#over) return;
    if (data instanceof ArrayBuffer) {
      this.on.frame?.(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "hello") {
      this.#wait = FIRST_WAIT_MS;
      this.resume = { token: message.resume_token, seq: message.seq };
    } else if (message.seq !== undefined && this.resume) {
      this.resume.seq = message.seq;
    }
    this.on.message?.(message);
    if (message.type === "hello") this.#hello.resolve(message);
  }

  #closed(socket, code) {
    if (this.#over || socket !== this.#socket) return;
    if (FINAL.has(code) || !this.comesBack) {
      this.#end(code, null);
    } else {
      this.#again();
    }
  }

  #again() {
    this.on.lost?.();
    this.#timer = setTimeout(() => this.connect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }

  #end(code, problem) {
    this.#over = true;
    this.#hello.reject(problem ?? new Error(`closed with ${code}`));
    this.on.closed?.(code, problem);
  }
}

/** The promise, but not for ever. */
export function inTime(promise) {
  return Promise.race([
    promise,
    new Promise((_, reject) =>
      setTimeout(() => reject(new Error("the service did not say hello in time")), HELLO_MS),
    ),
  ]);
}

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
