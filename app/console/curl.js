// Calls as lines for a shell. The key is never in them: they read $BRIDGE_API_KEY.

/** One call with curl. `base` is the service's address without a slash at its end. */
export function curl(base, { method, path, body }, needsKey) {
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  parts.push(quoted(`${base}/${path}`));
  if (needsKey) parts.push("-H", '"Authorization: Bearer $BRIDGE_API_KEY"');
  if (body !== undefined) parts.push("-d", quoted(JSON.stringify(body)));
  return parts.join(" ");
}

/** How to stream a file into a session from a shell. */
export function speak(base, sessionId, needsKey) {
  const key = needsKey ? ' -H "Authorization: Bearer $BRIDGE_API_KEY"' : "";
  const address = `${base.replace(/^http/, "ws")}/sessions/${sessionId}/stream?encoding=wav`;
  return `websocat -b${key} ${quoted(address)} < hello.wav`;
}

/** Quoted for sh, if it needs to be. */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
