/** What the pages hand to their scripts: the types that server and browser share. */

/** A chart over time. */
export interface ChartDefinition {
  title: string;
  /** What it shows, in a sentence. */
  note: string;
  unit: string;
  /** Latencies differ by powers of ten. */
  scale: "linear" | "logarithmic";
  /** In the order of the columns. */
  series: readonly string[];
}

/** One point of all charts over time: the series of the first chart, then those of the second, and so on. */
export type ChartRow = readonly (number | null)[];

/** Times are seconds since the start of the run. */
export interface PhaseBand {
  name: string;
  startSeconds: number;
  endSeconds: number;
}

/** The run so far, for the charts over time. */
export interface TimeData {
  /** Where each point stands; strictly growing. */
  atSeconds: number[];
  /** As many as `atSeconds`. */
  rows: ChartRow[];
  phases: readonly PhaseBand[];
}

/** How long the slowest took. */
export interface PercentileCurve {
  label: string;
  /** One in `oneIn` took `valueMs` or longer: 100 stands for the 99th percentile. Both grow. */
  points: readonly { oneIn: number; valueMs: number }[];
}

/** What stands in the report for its charts. */
export interface ReportData {
  charts: readonly ChartDefinition[];
  time: TimeData;
  curves: readonly PercentileCurve[];
}

/** The numbers at the top of the dashboard. */
export interface Figures {
  elapsedMs: number;
  phaseName: string;
  connectedCount: number;
  deviceCount: number;
  publishedCount: number;
  publishedPerSecond: number;
  /** 99th percentile since the start; null until something was acknowledged. */
  ackP99Ms: number | null;
  willsExpectedCount: number;
  willsDeliveredCount: number;
  problemCount: number;
  /** The last of them, in plain sentences. */
  problems: readonly string[];
}

/** How many devices are off, waiting, connecting, connected. */
type StateCounts = readonly [number, number, number, number];

export interface DeviceStates {
  counts: StateCounts;
  /** A digit for each device: the index into `counts`. Empty for a fleet that does not fit. */
  states: string;
}

/** A message that came on a topic to which something was published from the dashboard. */
export interface Arrival {
  /** Since the start of the dashboard, in seconds. */
  atSeconds: number;
  topic: string;
  /** As text, cut off if it is long. */
  payload: string;
  qos: number;
  /** It had been on the broker before. */
  retain: boolean;
  /** Since it was published from a dashboard; null if it was not. */
  afterMs: number | null;
}

type VerdictTone = "good" | "doubtful" | "bad";

/** How a run ended, in a sentence. */
export interface Verdict {
  tone: VerdictTone;
  text: string;
  /** False where a run has failed before its end. */
  hasReport: boolean;
}

/** Everything a browser needs that has just come: the data of the event "state". */
export interface DashboardState {
  brokerUrl: string;
  charts: readonly ChartDefinition[];
  time: TimeData;
  figures: Figures | null;
  devices: DeviceStates | null;
  /** The page keeps as many points, and forgets older ones. */
  pointCountMax: number;
  /** By index; empty for a fleet that does not fit. */
  deviceNames: readonly string[];
  arrivals: readonly Arrival[];
  /** Null until the run is over. */
  verdict: Verdict | null;
}

/** What a second has brought: the data of the event "sample". */
export interface SampleEvent {
  atSeconds: number;
  row: ChartRow;
  phases: readonly PhaseBand[];
  figures: Figures;
}

/** The body of a request to publish. */
export interface PublishRequest {
  topic: string;
  payload: string;
  qos: 0 | 1 | 2;
  retain: boolean;
}

/** The answer if it was refused. */
export interface Refusal {
  problem: string;
}
