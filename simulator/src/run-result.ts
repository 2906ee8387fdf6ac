/** Puts together what a run has counted. */

import { ABI_VERSION, Counter } from "../../firmware/core/abi.ts";
import type { Core, ThermometerExports } from "../../host/src/core/core.ts";
import { expectations } from "./expectations.ts";
import { arrivedCount, type Stage } from "./phases.ts";
import { latencyResult, RESULT_SCHEMA_ID, type RunResult } from "./result.ts";
import type { FaultKind, Scenario } from "./scenario.ts";
import type { TelemetryAudit } from "./telemetry-audit.ts";
import type { WillLedger } from "./will-ledger.ts";

/** What is known when a run is over. */
export interface FinishedRun {
  scenario: Scenario;
  stage: Stage;
  audit: TelemetryAudit;
  core: Core<ThermometerExports>;
  generator: Omit<RunResult["generator"], "scheduleLag">;
  runId: string;
  version: string;
  firmwareName: string;
  startedAt: string;
  durationMs: number;
  interrupted: boolean;
  brokerUrl: string;
  problems: string[];
}

export function resultOf(run: FinishedRun): RunResult {
  const { scenario, stage, core } = run;
  const { counts } = stage.fleet;
  const counted = {
    interrupted: run.interrupted,
    messages: messagesOf(stage),
    devices: devicesOf(scenario, stage.connectedCount),
    connections: {
      attempted: counts.attempted,
      connected: counts.connected,
      reconnected: counts.reconnected,
      failed: Object.fromEntries(counts.failed),
      refused: Object.fromEntries(counts.refused),
      lost: counts.lost,
    },
    brokerRestarts: stage.restartCount,
    wills: scenario.observe.wills ? stage.ledger.total : null,
    statusMessages: scenario.observe.wills ? stage.ledger.statusMessages : null,
    audit: scenario.observe.audit ? run.audit.result() : null,
    commands: commandsOf(stage),
  };
  return {
    schema: RESULT_SCHEMA_ID,
    runId: run.runId,
    tool: { name: "wasmqtt", version: run.version },
    scenario: { name: scenario.name, seed: scenario.seed },
    startedAt: run.startedAt,
    durationMs: run.durationMs,
    broker: {
      url: run.brokerUrl,
      protocol: "3.1.1",
      embedded: stage.broker !== undefined,
    },
    firmware: {
      name: run.firmwareName,
      sha256: core.sha256,
      byteLength: core.byteLength,
      abiVersion: ABI_VERSION,
    },
    ...counted,
    latencies: latenciesOf(stage),
    faults: faultsOf(stage.ledger, scenario.observe.wills),
    goodbyes: stage.ledger.goodbyes,
    observer: stage.observer.result(),
    generator: { ...run.generator, scheduleLag: latencyResult(counts.scheduleLag) },
    expectations: expectations(counted),
    problems: run.problems,
  };
}

function devicesOf({ groups }: Scenario, connectedCount: number): RunResult["devices"] {
  return {
    count: groups.reduce((sum, { count }) => sum + count, 0),
    connected: connectedCount,
    groups: groups.map(({ name, count, publish, cleanSession }) => ({
      name,
      count,
      qos: publish.qos,
      cleanSession,
      intervalMs: publish.intervalMs,
    })),
  };
}

function messagesOf({ fleet, unansweredCount }: Stage): RunResult["messages"] {
  const { counts } = fleet;
  const [qos0, qos1, qos2] = counts.sent;
  return {
    published: counts.published,
    sent: { qos0, qos1, qos2 },
    acknowledged: counts.acknowledged,
    inDoubt: Math.max(0, qos1 + qos2 - counts.acknowledged),
    unanswered: unansweredCount,
    requeued: fleet.counter(Counter.Requeued),
    discarded: fleet.counter(Counter.Discarded),
    refusedFull: counts.refusedFull,
  };
}

function latenciesOf({ fleet, ledger, observer }: Stage): RunResult["latencies"] {
  const { counts } = fleet;
  const willDelivery: RunResult["latencies"]["willDelivery"] = {};
  for (const [fault, { delivery }] of ledger.faults) {
    const latency = latencyResult(delivery);
    if (latency !== null) willDelivery[fault] = latency;
  }
  return {
    connect: latencyResult(counts.connect),
    publishAck: latencyResult(counts.publishAck),
    publishAckUncorrected: latencyResult(counts.publishAckUncorrected),
    endToEnd: latencyResult(observer.endToEnd),
    willDelivery,
  };
}

function faultsOf(ledger: WillLedger, isWatched: boolean): RunResult["faults"] {
  const faults: Partial<Record<FaultKind, { injected: number; wills: RunResult["wills"] }>> = {};
  for (const [fault, { injected, wills }] of ledger.faults) {
    faults[fault] = { injected, wills: isWatched ? wills : null };
  }
  return faults;
}

/** Null if none were sent. */
function commandsOf(stage: Stage): RunResult["commands"] {
  if (stage.commands.size === 0) return null;
  const commands = { sent: 0, arrived: 0, lost: 0, doubled: 0 };
  for (const [sensor, { sent }] of stage.commands) {
    const arrived = arrivedCount(sensor, stage);
    commands.sent += sent;
    commands.arrived += Math.min(arrived, sent);
    commands.lost += Math.max(0, sent - arrived);
    commands.doubled += Math.max(0, arrived - sent);
  }
  return commands;
}
