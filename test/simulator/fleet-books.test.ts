import { expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import type { EndReason } from "../../host/src/client/driver.ts";
import { ConnectionError, ProtocolError, RefusedError } from "../../host/src/errors.ts";
import { FleetBooks } from "../../simulator/src/fleet/fleet-books.ts";
import { LatencyMeter } from "../../simulator/src/fleet/latency-meter.ts";
import { PublishTimes } from "../../simulator/src/fleet/publish-times.ts";
import type { Sensor } from "../../simulator/src/fleet/sensor.ts";
import { TelemetryAudit } from "../../simulator/src/fleet/telemetry-audit.ts";
import { WillLedger } from "../../simulator/src/fleet/will-ledger.ts";
import { VirtualWorld } from "../support/virtual-world.ts";

const lost = new ConnectionError("lost", "the connection was reset", "Look into the broker's log");
const unreachable = new ConnectionError("unreachable", "nobody listens", "Start the broker");

test.each<[string, EndReason, number]>([
  ["was lost before CONNACK came", lost, 0],
  ["was closed without an answer", undefined, 0],
  ["stood, but CONNACK did not come in time", new ProtocolError(Status.ResponseTimeout), 0],
  ["was refused by the broker", new RefusedError(5), 1],
  ["was never made", unreachable, 1],
])(
  "a Will of a connection that %s: unexpected only if the broker cannot have accepted it [MQTT-3.1.2-8]",
  (_, reason, unexpectedCount) => {
    const world = new VirtualWorld();
    const ledger = new WillLedger(1, 1_000);
    const books = new FleetBooks({
      world,
      audit: new TelemetryAudit([0]),
      ledger,
      latencies: new LatencyMeter(),
      times: new PublishTimes([0]),
      willMs: 10_000,
      problem: () => {},
      connected: () => {},
    });
    books.failed({ index: 0 } as Sensor, reason);
    ledger.offline(0, world.nowMs());
    expect(ledger.total.unexpected).toBe(unexpectedCount);
  },
);
