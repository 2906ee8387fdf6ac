/** Which incoming QoS 2 messages are repetitions: those whose identifier no PUBREL has made new again (4.3.3). */

import { expect, test } from "vitest";
import { Core } from "../support/core-client.ts";
import { publish, pubrel } from "../support/server-packets.ts";

test.each([1, 2, 3])(
  "PUBREL for %s of three messages makes its identifier new, and no other [MQTT-4.3.3-2]",
  (released) => {
    const client = new Core().client();
    client.establish();
    const deliveredBy = (packetId: number) =>
      client.exchange(publish({ topic: "s", payload: "x", qos: 2, packetId, dup: true })).events;
    for (const packetId of [1, 2, 3]) expect(deliveredBy(packetId)).toHaveLength(1);
    client.exchange(pubrel(released));
    const delivered = [1, 2, 3].filter((packetId) => deliveredBy(packetId).length > 0);
    expect(delivered).toEqual([released]);
  },
);
