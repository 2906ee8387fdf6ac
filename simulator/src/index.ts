/** The simulator as a library: read a scenario, run it, look at what came of it. */

export type { ProcessMeter } from "./run/generator-meter.ts";
export type { RunResult } from "./run/result.ts";
export { type RunOptions, type RunView, runScenario } from "./run/run.ts";
export type { ScenarioOverrides } from "./scenario/override-draft.ts";
export type {
  BrokerRestartPhase,
  BrokerSettings,
  CommandsPhase,
  ConnectPhase,
  DeviceGroup,
  FaultKind,
  FaultPhase,
  ObserveSettings,
  Phase,
  PublishSettings,
  ReconnectSettings,
  Scenario,
  SpikePhase,
  SteadyPhase,
  Target,
  TlsSettings,
} from "./scenario/scenario.ts";
export { readScenario } from "./scenario/scenario-file.ts";
export { shippedScenarioNames, shippedScenarioText } from "./scenario/shipped-scenarios.ts";
export { type FirmwareBytes, type SimulationReport, simulate } from "./simulation/simulate.ts";
export type { SimulationOptions } from "./simulation/simulation.ts";
export { summaryText } from "./summary/summary.ts";
