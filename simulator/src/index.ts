/** The simulator as a library: read a scenario, run it, look at what came of it. */

export type { ProcessMeter } from "./generator-meter.ts";
export type { ScenarioOverrides } from "./override-draft.ts";
export type { RunResult } from "./result.ts";
export { type RunOptions, type RunView, runScenario } from "./run.ts";
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
} from "./scenario.ts";
export { readScenario } from "./scenario-file.ts";
export { shippedScenarioNames, shippedScenarioText } from "./shipped-scenarios.ts";
export { type FirmwareBytes, type SimulationReport, simulate } from "./simulation/simulate.ts";
export type { SimulationOptions } from "./simulation/simulation.ts";
export { summaryText } from "./summary.ts";
