/** MQTT bytes built beforehand, for the generators that do nothing but send them. */

import { clientIdOf, INFLIGHT_COUNT_MAX, settings, topicOf } from "./generator.mjs";

export function connectPacket(number) {
  const clientId = field(clientIdOf(number));
  const header = [0x10, 10 + clientId.length, 0, 4, ...Buffer.from("MQTT"), 4, 2, 0, 60];
  return Buffer.concat([Buffer.from(header), clientId]);
}

/** One PUBLISH. At QoS 1 its Packet Identifier is `packetId`, at `packetIdAt` of the packet. */
export function publishPacket(number, packetId = 1) {
  const { qos, payloadLength } = settings;
  const id = qos === 0 ? [] : [packetId >> 8, packetId & 0xff];
  const topic = field(topicOf(number));
  const body = Buffer.concat([topic, Buffer.from(id), Buffer.alloc(payloadLength, "x")]);
  return Buffer.concat([Buffer.from([0x30 | (qos << 1), ...lengthBytes(body.length)]), body]);
}

export function packetIdAt(packet) {
  return packet.length - settings.payloadLength - 2;
}

/** As many packets as there may be under way, twice: any run of them can be cut out without changing a byte. */
export function runOfPackets(number) {
  const packets = Array.from({ length: 2 * INFLIGHT_COUNT_MAX }, (_, index) =>
    publishPacket(number, 1 + (index % INFLIGHT_COUNT_MAX)),
  );
  return Buffer.concat(packets);
}

function field(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function lengthBytes(length) {
  return length < 128 ? [length] : [0x80 | (length & 0x7f), length >> 7];
}
