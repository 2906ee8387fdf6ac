/** Answers that contradict what was asked: what is an error of the server, and what is only counted (3.2.2, 4.3). */

import { expect, test } from "vitest";
import { Core } from "../support/core-client.ts";
import { connack, puback, pubrec } from "../support/server-packets.ts";

test.each([false, true])(
  "a refusal with Session Present ends the connection (Clean Session: %s) [MQTT-3.2.2-4]",
  (cleanSession) => {
    const client = new Core().client();
    client.setClientId("t");
    client.connect({ cleanSession });
    client.drain();
    client.receive(connack(true, 5));
    expect(client.poll()).toEqual({ kind: "Failed", status: "ProtocolViolation" });
  },
);

test("PUBREC for a QoS 1 message is counted, and PUBACK is waited for [MQTT-4.3.2-1]", () => {
  const client = new Core().client();
  client.establish();
  const packetId = client.publish("a", "1", { qos: 1 });
  client.drain();
  expect(client.exchange(pubrec(packetId))).toEqual({ events: [], packets: [] });
  expect(client.counter("Stray")).toBe(1);
  expect(client.call("inflightCount")).toBe(1);
  expect(client.exchange(puback(packetId))).toEqual({
    events: [{ kind: "Published", packetId, qos: 1 }],
    packets: [],
  });
});
