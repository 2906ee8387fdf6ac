/** What must hold in every run: a promise of MQTT each, checked against what was counted. */

import { formatShare } from "../summary/text-format.ts";
import type { Expectation, RunResult } from "./result.ts";

/** The part of a result that expectations are about. */
export type Counts = Pick<
  RunResult,
  | "interrupted"
  | "devices"
  | "connections"
  | "messages"
  | "brokerRestarts"
  | "wills"
  | "statusMessages"
  | "audit"
  | "commands"
>;

/** Those that apply to this run, in the order in which a reader should look at them. */
export function expectations(counts: Counts): Expectation[] {
  return [
    ...connectionExpectations(counts),
    ...willExpectations(counts),
    ...statusExpectations(counts),
    ...answerExpectations(counts),
    ...auditExpectations(counts),
    ...commandExpectations(counts),
  ];
}

function connectionExpectations(counts: Counts): Expectation[] {
  const { count, connected } = counts.devices;
  const list: Expectation[] = [];
  const all: Expectation = {
    name: "devices_connected",
    rule: `count==${count}`,
    value: `${connected} of ${count}`,
    ok: connected === count,
  };
  if (!all.ok) {
    all.explanation = `Devices that were not connected when the connect phase ended: ${count - connected} of ${count}.`;
  }
  // Whoever interrupts a run may do so before all are connected.
  if (all.ok || !counts.interrupted) list.push(all);
  if (counts.brokerRestarts === 0) {
    const sentence = "Connections that neither the device nor a fault of this run ended";
    list.push(none("connections_lost", counts.connections.lost, sentence));
  }
  return list;
}

function willExpectations({ wills }: Counts): Expectation[] {
  if (wills === null) return [];
  const unexpected = none(
    "wills_unexpected",
    wills.unexpected,
    "Last Wills of devices that were there, or had said goodbye",
  );
  const { expected, delivered, missing } = wills;
  if (expected === 0) return [unexpected];

  const announced: Expectation = {
    name: "wills_delivered",
    rule: "rate==1",
    value: `${formatShare(delivered, expected)} (${delivered} of ${expected})`,
    ok: missing === 0,
  };
  if (!announced.ok) {
    announced.explanation = `Devices that vanished, but whose Last Will never came [MQTT-3.1.2-8]: ${missing} of ${expected}.`;
  }
  return [
    announced,
    none("wills_early", wills.early, "Last Wills that came before the device was gone long enough"),
    none(
      "wills_late",
      wills.late,
      "Last Wills later than 1.5 times the keep alive [MQTT-3.1.2-24] and the grace allow",
    ),
    none("wills_doubled", wills.doubled, "Last Wills that came more than once"),
    unexpected,
  ];
}

function statusExpectations({ statusMessages }: Counts): Expectation[] {
  if (statusMessages === null) return [];
  const sentence = "Births and goodbyes that the broker acknowledged, but that never arrived";
  return [none("status_lost", statusMessages.lost, sentence)];
}

function answerExpectations({ messages, devices }: Counts): Expectation[] {
  if (devices.groups.every(({ qos }) => qos === 0)) return [];
  const sentence =
    "Messages that the broker never acknowledged, although the connection stood [MQTT-4.3.2-2]";
  return [none("telemetry_unanswered", messages.unanswered, sentence)];
}

function auditExpectations({ audit, devices }: Counts): Expectation[] {
  if (audit === null) return [];
  const list: Expectation[] = [];
  if (devices.groups.some(({ qos }) => qos > 0)) {
    const sentence = "Messages that the broker acknowledged, but that never arrived";
    list.push(none("telemetry_lost", audit.lost, sentence));
  }
  if (devices.groups.some(({ qos }) => qos === 2)) {
    const sentence = "Messages that came again at QoS 2, which is exactly once [MQTT-4.3.3-1]";
    list.push(none("telemetry_doubled", audit.doubledAtQos2, sentence));
  }
  const sentence = "Messages that came behind a later one of the same device [MQTT-4.6.0-6]";
  return [...list, none("telemetry_out_of_order", audit.outOfOrder, sentence)];
}

function commandExpectations({ commands }: Counts): Expectation[] {
  if (commands === null) return [];
  return [none("commands_lost", commands.lost, "Commands that never arrived at their device")];
}

/** Expects that something did not happen; `sentence` says what, and the count follows it. */
function none(name: string, count: number, sentence: string): Expectation {
  const expectation = { name, rule: "count==0", value: String(count), ok: count === 0 };
  return expectation.ok ? expectation : { ...expectation, explanation: `${sentence}: ${count}.` };
}
