/** Node's floor: net.Socket and prebuilt bytes, one write each. A last argument `onread` reads into one shared buffer. */

import { connect as connectSocket } from "node:net";
import { counts, generate, INFLIGHT_COUNT_MAX, isOver, settings } from "./generator.mjs";
import { connectPacket, packetIdAt, publishPacket, runOfPackets } from "./packets.mjs";

const CHUNK_LENGTH = 16_384;
const PUBACK_LENGTH = 4;

const sharedBuffer = process.argv[8] === "onread" ? Buffer.alloc(65_536) : undefined;

await generate({ connect, publish, begin });

function connect(number) {
  const device = { number, packet: publishPacket(number), packetId: 0, receivedLength: 0 };
  const receive = (length) => onReceived(device, length);
  const onread =
    sharedBuffer === undefined ? undefined : { buffer: sharedBuffer, callback: receive };
  const socket = connectSocket({
    port: settings.port,
    host: "127.0.0.1",
    noDelay: true,
    ...(onread && { onread }),
  });
  device.socket = socket;
  socket.on("connect", () => socket.write(connectPacket(number)));
  if (onread === undefined) socket.on("data", ({ length }) => receive(length));
  return device;
}

function publish(device) {
  const { packet } = device;
  if (settings.qos > 0) {
    device.packetId = (device.packetId % 65_535) + 1;
    packet.writeUInt16BE(device.packetId, packetIdAt(packet));
  }
  counts.messages++;
  device.socket.write(packet);
}

/** CONNACK first, then nothing but PUBACK: all of 4 bytes. Answers true: read on. */
function onReceived(device, length) {
  const before = Math.floor(device.receivedLength / PUBACK_LENGTH);
  device.receivedLength += length;
  let acknowledged = Math.floor(device.receivedLength / PUBACK_LENGTH) - before;
  if (before === 0 && acknowledged > 0) {
    counts.connected++;
    acknowledged--;
  }
  counts.acknowledged += acknowledged;
  if (settings.rate === 0 && acknowledged > 0) refill(device, acknowledged);
  return true;
}

function begin(device) {
  if (settings.qos > 0) {
    device.run = runOfPackets(device.number);
    device.sentOfRun = 0;
    refill(device, INFLIGHT_COUNT_MAX);
    return;
  }
  const count = Math.floor(CHUNK_LENGTH / device.packet.length);
  const chunk = Buffer.concat(Array(count).fill(device.packet));
  const pour = () => {
    if (isOver()) return;
    counts.messages += count;
    if (device.socket.write(chunk)) setImmediate(pour);
    else device.socket.once("drain", pour);
  };
  pour();
}

/** As many messages in one write as were acknowledged. */
function refill(device, count) {
  const { run, packet, sentOfRun } = device;
  device.socket.write(run.subarray(sentOfRun * packet.length, (sentOfRun + count) * packet.length));
  device.sentOfRun = (sentOfRun + count) % INFLIGHT_COUNT_MAX;
  counts.messages += count;
}
