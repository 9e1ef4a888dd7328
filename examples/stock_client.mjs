// A stock Socket.IO client in JavaScript: joins a room, says who comes and goes, sends a pose and reads those of version 2.
//
//   npm install socket.io-client notepack.io          # and socket.io-msgpack-parser, for the other parser
//   posewire serve
//   POSEWIRE_TOKEN=$(posewire token stock --room studio) node examples/stock_client.mjs
//   POSEWIRE_SENDER_PROTOCOL_VERSION=v2 posewire send synthetic --room studio --name anna     # somebody to see
import notepack from "notepack.io";
import { io } from "socket.io-client";

const socket = io(process.env.POSEWIRE_URL ?? "http://localhost:5000", {
  auth: { token: process.env.POSEWIRE_TOKEN },
  transports: ["websocket"],
  // parser: (await import("socket.io-msgpack-parser")).default,   // does as well, in the same room
});

async function ask(event, fields = {}) {
  const [ok, answer] = await socket.emitWithAck(event, fields);
  if (!ok) throw new Error(answer.message);
  return answer;
}

// docs/wire.md, "Packets": the header of 19 bytes; 0 for "not compressed"; [pose, face, hands, skeleton].
function write(member, stream, seq, captured) {
  const head = new DataView(new ArrayBuffer(20));
  head.setUint8(0, 0x12);
  head.setUint8(2, stream);
  head.setUint16(3, member, true);
  head.setUint32(5, seq, true);
  head.setBigUint64(11, BigInt(Math.round(captured * 1e6)), true);
  const points = new Float32Array([0.3, 0.5, 0, 1, 0.5, 0.5, 0, 1, 0.7, 0.5 + 0.2 * Math.sin(6 * captured), 0, 1]);
  return Buffer.concat([Buffer.from(head.buffer), notepack.encode([Buffer.from(points.buffer), null, null, "arm3"])]);
}

function read(packet, now) {
  const bytes = Buffer.from(packet);
  const [version, flags] = bytes;
  const age = (now * 1e6 - Number(bytes.readBigUInt64LE(11))) / 1e3;
  const told = `member ${bytes.readUInt16LE(3)}, stream ${bytes[2]}, frame ${bytes.readUInt32LE(5)}, ${age.toFixed(0)} ms old`;
  if ((version & 15) !== 2 || flags & 3 || bytes[19]) return `${told}: ${bytes.length} bytes`;
  const [pose, , , skeleton] = notepack.decode(bytes.subarray(20, flags >> 6 === 1 ? -8 : undefined)); // 8 of a MAC
  const first = new Float32Array(new Uint8Array(pose).buffer, 0, 3);
  return `${told}: ${pose.length / 16} points of ${skeleton}, the first at (${[...first].join(", ")})`;
}

socket.on("connect_error", (error) => console.error(error.message));
socket.on("room", ({ change }) => console.log(JSON.stringify(change)));
socket.on("bye", ({ reason }) => console.log("the server says goodbye:", reason));
socket.on("connect", async () => {
  const offset = (await ask("heartbeat")) / 1e6 - Date.now() / 1e3; // docs/wire.md tells how to do it well
  const now = () => Date.now() / 1e3 + offset;
  socket.on("frame", (packet) => console.log(read(packet, now())));
  const { number } = await ask("room.join", { room: "studio", create: true });
  const stream = await ask("stream.open", { kind: "pose", name: "arm" });
  let seq = 0;
  const timer = setInterval(() => socket.emit("frame", write(number, stream, seq++, now())), 1000 / 30);
  socket.once("disconnect", () => (clearInterval(timer), socket.off("frame")));
});
