// A stock client of Socket.IO in Node, told what to do by lines of JSON; see test_stock_node.py.
//   node stock_client.mjs URL PARSER TRANSPORTS AUTH
// In: {"emit" | "call": event, "data": …}. Out: {"event": name, "data": …}. Bytes are {"$": base64}, both ways.
import { createRequire } from "node:module";
import readline from "node:readline";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { io } = require("socket.io-client");
const [url, parser, transports, auth] = process.argv.slice(2);

const plain = (_, value) => value;
const revive = (_, value) => (value && typeof value.$ === "string" ? Buffer.from(value.$, "base64") : value);
const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);
const pack = (value) => {
  if (isBytes(value)) return { $: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(pack);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, pack(v)]));
  return value;
};
const say = (event, data) => process.stdout.write(JSON.stringify({ event, data: pack(data) }, plain) + "\n");

const socket = io(url, {
  auth: JSON.parse(auth),
  transports: transports.split(","),
  reconnection: false,
  ...(parser === "msgpack" ? { parser: require("socket.io-msgpack-parser") } : {}),
});
socket.on("connect", () => say("connect", socket.io.engine.transport.name));
socket.io.engine?.on("upgrade", (transport) => say("upgrade", transport.name));
socket.on("connect_error", (error) => say("connect_error", { message: error.message, data: error.data ?? null }));
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.onAny((event, data) => say(event, data));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { emit, call, data } = JSON.parse(line, revive);
  if (call) socket.emit(call, data, (answer) => say("answer", answer));
  else socket.emit(emit, data);
}).on("close", () => {
  socket.disconnect();
  setTimeout(() => process.exit(0), 50);
});
