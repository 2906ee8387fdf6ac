/** What is wrong with a scenario although each of its values is right by itself. */

import { formatDuration } from "../duration.ts";
import { profileOf } from "../profiles/profile.ts";
import { findMetric } from "../run/metrics.ts";
import { fillPattern, isPerDevice, patternProblem } from "./pattern.ts";
import {
  type BrokerSettings,
  type CommandsPhase,
  DEVICE_COUNT_MAX,
  type DeviceGroup,
  deviceCount,
  type FaultPhase,
  type Phase,
  type ScenarioContent,
  SILENT_FAULT_KINDS,
  type Target,
} from "./scenario.ts";

/** `message` is the rest of a sentence that begins with the key; `path` is the key's in the file. */
export interface ScenarioProblem {
  path: (string | number)[];
  message: string;
}

/** Every contradiction in `scenario`. */
export function scenarioProblems(scenario: ScenarioContent): ScenarioProblem[] {
  return [
    ...brokerProblems(scenario.broker),
    ...scenario.groups.flatMap(groupProblems),
    ...fleetProblems(scenario.groups),
    ...orderProblems(scenario.phases),
    ...scenario.phases.flatMap((phase, index) => phaseProblems(scenario, phase, index)),
    ...thresholdProblems(scenario),
  ];
}

function brokerProblems(broker: BrokerSettings): ScenarioProblem[] {
  const messages = { ...credentialsProblems(broker), ...tlsProblems(broker) };
  return Object.entries(messages).flatMap(([key, message]) =>
    message === undefined ? [] : [{ path: ["broker", ...key.split(".")], message }],
  );
}

/** Messages by their key below `broker`. */
type BrokerMessages = Record<string, string | undefined>;

function credentialsProblems({ username, password, passwordFile }: BrokerSettings): BrokerMessages {
  const messages: BrokerMessages = {};
  if (username !== undefined) messages["username"] = patternProblem(username, "ic");
  if (password !== undefined) messages["password"] = patternProblem(password, "ic");
  const passwordKey = password === undefined ? "passwordFile" : "password";
  if (username === undefined && (password ?? passwordFile) !== undefined) {
    messages[passwordKey] = "needs broker.username too [MQTT-3.1.2-22]";
  }
  if (password !== undefined && passwordFile !== undefined) {
    messages["passwordFile"] = "is given beside broker.password; keep one of them";
  }
  return messages;
}

function tlsProblems({ url, tls }: BrokerSettings): BrokerMessages {
  const messages: BrokerMessages = {};
  if (tls.certFile !== undefined && tls.keyFile === undefined) {
    messages["tls.certFile"] = "needs broker.tls.keyFile too";
  }
  if (tls.keyFile !== undefined && tls.certFile === undefined) {
    messages["tls.keyFile"] = "needs broker.tls.certFile too";
  }
  if (url?.scheme === "mqtts" || url?.scheme === "wss") return messages;
  for (const [key, value] of Object.entries(tls)) {
    if (value === undefined || value === false) continue;
    messages[`tls.${key}`] = "needs a broker.url that begins with mqtts:// or wss://";
  }
  return messages;
}

/** What the firmware takes as a Client Identifier: it becomes a level of a topic. */
const CLIENT_ID_LENGTH_MAX = 64;
const CLIENT_ID_FORBIDDEN = /[/+#]/u;

function groupProblems(group: DeviceGroup, groupIndex: number): ScenarioProblem[] {
  const problems: ScenarioProblem[] = [];
  const report = (key: string, message: string) =>
    problems.push({ path: ["devices", groupIndex, ...key.split(".")], message });

  const patternFault = patternProblem(group.id, "i");
  const longest = fillPattern(group.id, { number: group.firstNumber + group.count - 1 });
  if (patternFault !== undefined) {
    report("id", patternFault);
  } else if (Buffer.byteLength(longest) > CLIENT_ID_LENGTH_MAX) {
    report("id", `becomes ${JSON.stringify(longest)}: more than ${CLIENT_ID_LENGTH_MAX} bytes`);
  } else if (CLIENT_ID_FORBIDDEN.test(longest)) {
    report("id", "has one of / + # in it, but it becomes a part of the device's topics");
  } else if (group.count > 1 && !isPerDevice(group.id)) {
    report("id", `is the same for all ${group.count} devices; put %i in it, such as "mote-%05i"`);
  } else {
    const problem = profileOf(group.profile).clientIdProblem(longest);
    if (problem !== undefined) {
      report("id", `becomes ${JSON.stringify(longest)} in profile ${group.profile}: it ${problem}`);
    }
  }
  if (group.reconnect.baseMs > group.reconnect.maxMs) {
    report("reconnect.base", `is longer than max (${formatDuration(group.reconnect.maxMs)})`);
  }
  return problems;
}

function fleetProblems(groups: readonly DeviceGroup[]): ScenarioProblem[] {
  const count = deviceCount(groups);
  if (count > DEVICE_COUNT_MAX) {
    return [{ path: ["devices"], message: `are ${count} in all, more than ${DEVICE_COUNT_MAX}` }];
  }
  const problems: ScenarioProblem[] = [];
  const names = new Map<string, number>();
  const ids = new Map<string, number>();
  for (const [groupIndex, group] of groups.entries()) {
    const path = ["devices", groupIndex];
    const sameName = names.get(group.name);
    if (sameName !== undefined) {
      problems.push({
        path: [...path, "group"],
        message: `is ${JSON.stringify(group.name)}, like devices[${sameName}]; each needs a name of its own`,
      });
    }
    names.set(group.name, groupIndex);
    const taken = takenId(group, groupIndex, ids);
    if (taken !== undefined) problems.push({ path: [...path, "id"], message: taken });
  }
  return problems;
}

/** Adds the Client Identifiers of a group to `ids`; the answer is a problem if another group has one of them. */
function takenId(
  group: DeviceGroup,
  groupIndex: number,
  ids: Map<string, number>,
): string | undefined {
  for (let number = group.firstNumber; number < group.firstNumber + group.count; number++) {
    const id = fillPattern(group.id, { number });
    const other = ids.get(id);
    if (other !== undefined && other !== groupIndex) {
      return `gives ${JSON.stringify(id)}, which devices[${other}] has too; the broker would throw out one of them [MQTT-3.1.4-2]`;
    }
    ids.set(id, groupIndex);
  }
  return undefined;
}

function orderProblems(phases: readonly Phase[]): ScenarioProblem[] {
  const problems: ScenarioProblem[] = [];
  if (phases[0]?.kind !== "connect") {
    problems.push({ path: ["phases", 0], message: "comes first, so it must be a connect phase" });
  }
  for (const [index, phase] of phases.entries()) {
    if (index === 0 || phase.kind !== "connect") continue;
    problems.push({
      path: ["phases", index, "connect"],
      message: "comes too late: only the first phase connects; devices come back by themselves",
    });
  }
  return problems;
}

function phaseProblems(scenario: ScenarioContent, phase: Phase, index: number): ScenarioProblem[] {
  const path = ["phases", index];
  switch (phase.kind) {
    case "connect":
    case "steady":
      return [];
    case "spike":
      return targetProblems(scenario, phase, [...path, "spike"]);
    case "fault":
      return faultProblems(scenario, phase, [...path, "fault"]);
    case "commands":
      return commandsProblems(scenario, phase, [...path, "commands"]);
    case "broker-restart":
      if (phase.downtimeMs < phase.durationMs) return [];
      return [
        {
          path: [...path, "brokerRestart", "downtime"],
          message: `must be shorter than the phase (${formatDuration(phase.durationMs)})`,
        },
      ];
  }
}

function faultProblems(
  scenario: ScenarioContent,
  phase: FaultPhase,
  path: (string | number)[],
): ScenarioProblem[] {
  const problems = targetProblems(scenario, phase, path);
  if (phase.spreadMs > phase.durationMs) {
    problems.push({
      path: [...path, "spread"],
      message: `is longer than the phase (${formatDuration(phase.durationMs)})`,
    });
  }
  const { keepAliveSeconds } = scenario.broker;
  if (scenario.observe.wills && keepAliveSeconds === 0 && SILENT_FAULT_KINDS.has(phase.fault)) {
    problems.push({
      path: ["broker", "keepAlive"],
      message: `is 0 (off), so the broker would never notice the ${phase.fault} of phase "${phase.name}"`,
    });
  }
  return problems;
}

function commandsProblems(
  scenario: ScenarioContent,
  phase: CommandsPhase,
  path: (string | number)[],
): ScenarioProblem[] {
  const problems = targetProblems(scenario, phase, path);
  if (!phase.whileAway) return problems;

  const forgotten = scenario.groups.find((group) => group.cleanSession);
  if (forgotten !== undefined) {
    problems.push({
      path: [...path, "whileAway"],
      message: `needs cleanSession: false, but for group ${JSON.stringify(forgotten.name)} the broker forgets everything when a device leaves`,
    });
  }
  if (phase.qos === 0) {
    problems.push({
      path: [...path, "qos"],
      message: "must be 1 or 2: a broker may throw away QoS 0 messages for a device that is away",
    });
  }
  return problems;
}

function targetProblems(
  scenario: ScenarioContent,
  { target }: { target: Target },
  path: (string | number)[],
): ScenarioProblem[] {
  const count = deviceCount(scenario.groups);
  if (!("count" in target) || target.count <= count) return [];
  return [
    {
      path: [...path, "target"],
      message: `is ${target.count}, but the fleet has only ${count} devices`,
    },
  ];
}

function thresholdProblems({ thresholds, observe }: ScenarioContent): ScenarioProblem[] {
  const names = new Set(thresholds.map(({ metric }) => metric));
  return [...names].flatMap((name) => {
    const needs = findMetric(name)?.needs;
    if (needs === undefined || observe[needs]) return [];
    const message = `cannot be measured with observe.${needs}: false`;
    return [{ path: ["thresholds", name], message }];
  });
}
