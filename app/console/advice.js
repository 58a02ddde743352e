// What to do about what went wrong.

const ADVICE = {
  unreachable:
    "Is it running? Start it with make run; this page goes on by itself when it answers.",
  timeout: "It may be busy. Try again in a moment.",
  unauthorized: "Enter one of the keys in BRIDGE_API_KEYS.",
  forbidden:
    "Without BRIDGE_API_KEYS only this machine may call: open the page at localhost or 127.0.0.1.",
  session_not_found:
    "It is forgotten an hour after its end, or when the service stops. Start a new one.",
  session_over: "Start a new one.",
  session_not_ready: "The replica is not in the room yet. Wait until it is, then try again.",
  too_many_sessions: "End one of the sessions in the list, or raise BRIDGE_MAX_SESSIONS.",
  tavus_concurrency_limit: "End a conversation at Tavus, or wait until one ends.",
  tavus_out_of_credits: "Top up the Tavus account.",
  tavus_unauthorized: "Check TAVUS_API_KEY with avatar-bridge doctor.",
  tavus_forbidden: "Check the Tavus plan with avatar-bridge doctor.",
  tavus_rejected: "Check the replica and the persona; avatar-bridge doctor tells more.",
  tavus_timeout: "It is not known whether it was made. Look at the list before you try again.",
  tavus_unavailable: "Try again in a moment.",
  replica_timeout: "Try again; avatar-bridge doctor tells whether the replica can work.",
  replica_lost: "Start a new session.",
  replica_stalled: "Interrupt and speak again, or start a new session.",
  room_failed: "Start a new session.",
  invalid_request: "Correct the field and try again.",
  too_large: "Say it in shorter pieces.",
  draining: "The service is shutting down. Wait until it is back.",
  not_ready: "Look at the service's log, or try again in a moment.",
  format_mismatch: "Send a WAV file with uncompressed audio.",
  unsupported_format: "Send a WAV file with uncompressed audio.",
  buffer_overflow: "Too much audio waits. What was accepted plays; send the rest later.",
  rate_limited: "Wait a moment, then try again.",
};

const OTHER = "The event log below tells more.";

export function advice(code) {
  return ADVICE[code] ?? OTHER;
}

/** What to do about a close code of the stream, as {code, message}; null where nothing is wrong. */
export function ofClose(code) {
  const known = {
    4401: { code: "unauthorized", message: "The service does not accept the session token." },
    4403: { code: "forbidden", message: "The service does not allow this page." },
    4404: { code: "session_not_found", message: "There is no such session." },
    4429: { code: "rate_limited", message: "Too much at once." },
    4503: { code: "draining", message: "The service is shutting down." },
  };
  if (code === 1000 || code === 4410) return null;
  const other = `The connection ended with code ${code}.`;
  return known[code] ?? { code: `close_${code}`, message: other };
}

/** What is wrong with a microphone, from what the browser throws. */
export function ofMicrophone(error) {
  if (error.name === "NotAllowedError") {
    return {
      title: "The microphone is not allowed.",
      todo: "Allow it beside the address, then try again.",
    };
  }
  if (error.name === "NotFoundError") {
    return { title: "There is no microphone.", todo: "Connect one, or play the sample instead." };
  }
  if (!globalThis.isSecureContext) {
    return {
      title: "The browser gives no microphone to this address.",
      todo: "Open the page at localhost, or over https.",
    };
  }
  return { title: "The microphone does not work.", todo: `The browser says: ${error.message}` };
}
