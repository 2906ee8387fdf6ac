/**
 * Draws the charts of a page with uPlot, which must be there as a global: over time, and percentile curves. It has
 * no imports, so that the report can carry it; there it starts by itself.
 */

import type {
  ChartDefinition,
  PercentileCurve,
  PhaseBand,
  ReportData,
  TimeData,
} from "../src/pages/page-data.ts";

/** The charts over time of a page. */
export interface TimeCharts {
  update(data: TimeData): void;
}

/** Fills the figures with `data-chart`. `zoom`: a part can be looked at closer; `update` ends that. */
export function showTimeCharts(
  definitions: readonly ChartDefinition[],
  { zoom }: { zoom: boolean },
): TimeCharts {
  document.querySelector("[data-no-charts]")?.remove();
  let firstColumn = 0;
  const charts = definitions.map((definition, index) => {
    const figure = document.querySelector<HTMLElement>(`figure[data-chart="${index}"]`);
    const start = firstColumn;
    firstColumn += definition.series.length;
    if (figure === null) return undefined;
    return { start, chart: new Chart(figure, timeChart(definition, zoom)), definition };
  });
  return {
    update: ({ atSeconds, rows, phases }) => {
      for (const place of charts) {
        if (place === undefined) continue;
        const columns = place.definition.series.map((_, index) =>
          rows.map((row) => row[place.start + index] ?? null),
        );
        place.chart.update(atSeconds, columns, phases);
      }
    },
  };
}

/** Fills the figure with `data-curves`. */
export function showCurves(curves: readonly PercentileCurve[]): void {
  const figure = document.querySelector<HTMLElement>("figure[data-curves]");
  if (figure === null) return;
  const chart = new Chart(figure, {
    labels: curves.map(({ label }) => label),
    isLogarithmic: true,
    isPercentile: true,
    xName: "percentile",
    xText: (oneIn) => `${percentText(oneIn)} %`,
    unit: "ms",
    zoom: false,
    syncKey: "curves",
  });
  const oneIns = [...new Set(curves.flatMap(({ points }) => points.map(({ oneIn }) => oneIn)))];
  oneIns.sort((a, b) => a - b);
  const columns = curves.map(({ points }) => {
    const values = new Map(points.map(({ oneIn, valueMs }) => [oneIn, valueMs]));
    return oneIns.map((oneIn) => values.get(oneIn) ?? null);
  });
  chart.update(oneIns, columns, []);
}

interface ChartOptions {
  labels: readonly string[];
  /** The vertical axis. */
  isLogarithmic: boolean;
  /** The horizontal axis is 1 / (1 - percentile), logarithmic. */
  isPercentile: boolean;
  /** What stands above the first column of the numbers. */
  xName: string;
  xText: (x: number) => string;
  unit: string;
  zoom: boolean;
  /** Charts with the same key show the same place. */
  syncKey: string;
}

function timeChart({ series, scale, unit }: ChartDefinition, zoom: boolean): ChartOptions {
  return {
    labels: series,
    isLogarithmic: scale === "logarithmic",
    isPercentile: false,
    xName: "time",
    xText: timeText,
    unit,
    zoom,
    syncKey: "time",
  };
}

type Column = readonly (number | null)[];

const HEIGHT = 220;

/** Lines differ in their dashes, too: colour never is the only thing. */
const DASHES: readonly number[][] = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

/** One chart with its legend, and its numbers as a table. */
class Chart {
  readonly #options: ChartOptions;
  readonly #plot: uPlot;
  readonly #place = element("div", "plot");
  readonly #legend = element("ul", "legend");
  readonly #entries: { item: HTMLElement; value: HTMLElement }[];
  readonly #spoken = element("p", "unseen");
  readonly #numbers = element("table", "numbers");
  readonly #empty = element("p", "hint");
  readonly #details = element("details", "");
  #phases: readonly PhaseBand[] = [];
  #x: number[] = [];
  #columns: readonly Column[] = [];

  constructor(figure: HTMLElement, options: ChartOptions) {
    this.#options = options;
    this.#entries = options.labels.map((label, index) => this.#entry(label, index));
    const title = figure.querySelector("h3")?.firstChild?.textContent?.trim() ?? "";
    this.#empty.textContent = "Nothing was measured so far.";
    this.#spoken.setAttribute("aria-live", "polite");
    this.#place.tabIndex = 0;
    this.#place.setAttribute("role", "group");
    this.#place.setAttribute("aria-label", `Chart: ${title}. The arrow keys read its values.`);
    this.#place.addEventListener("keydown", (event) => this.#onKey(event));
    this.#place.addEventListener("blur", () => this.#moveTo(undefined));
    this.#details.append(textElement("summary", `Numbers: ${title}`), this.#numbers);
    this.#details.addEventListener("toggle", () => this.#showNumbers());
    figure.append(this.#legend, this.#place, this.#empty, this.#spoken, this.#details);
    this.#plot = new uPlot(this.#plotOptions(), [[], ...options.labels.map(() => [])], this.#place);
    new ResizeObserver(() => this.#fit()).observe(this.#place);
    onNewColours(() => this.#plot.redraw(false, true));
    onPrint(() => this.#fit());
  }

  update(x: readonly number[], columns: readonly Column[], phases: readonly PhaseBand[]): void {
    this.#phases = phases;
    this.#x = [...x];
    this.#columns = columns;
    let isEmpty = true;
    for (const [index, column] of columns.entries()) {
      const hasValues = column.some((value) => value !== null);
      if (hasValues) isEmpty = false;
      const entry = this.#entries[index];
      if (entry !== undefined) entry.item.hidden = !hasValues;
    }
    this.#place.hidden = isEmpty;
    this.#details.hidden = isEmpty;
    this.#empty.hidden = !isEmpty;
    const data = columns.map((column) =>
      this.#options.isLogarithmic ? column.map(positive) : [...column],
    );
    this.#plot.setData([this.#x, ...data]);
    this.#showValues();
    this.#showNumbers();
  }

  #entry(label: string, index: number) {
    const item = element("li", "");
    const value = element("output", "");
    item.append(lineSample(index), `${label} `, value);
    this.#legend.append(item);
    return { item, value };
  }

  #plotOptions(): uPlot.Options {
    const { labels, isLogarithmic, isPercentile, zoom, syncKey, xText } = this.#options;
    return {
      width: 320,
      height: HEIGHT,
      padding: [12, isPercentile ? 28 : 14, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: syncKey },
        drag: { x: zoom, y: false },
        points: { size: 7 },
      },
      scales: {
        x: isPercentile ? { time: false, distr: 3 } : { time: false, range: timeRange },
        y: isLogarithmic ? { distr: 3, range: decades } : { range: fromZero },
      },
      axes: [
        {
          ...axis(isPercentile, xText),
          ...(isPercentile ? {} : { incrs: TIME_STEPS }),
          space: 64,
          size: 28,
        },
        { ...axis(isLogarithmic, numberText), size: 58 },
      ],
      // The curves end at different places, rates are left out of short spans; a gap in latencies means that there were none.
      series: [
        {},
        ...labels.map((label, index) => ({
          ...lineOf(label, index),
          spanGaps: isPercentile || !isLogarithmic,
          ...(isPercentile ? { points: { show: false } } : {}),
        })),
      ],
      hooks: {
        drawClear: [() => this.#drawPhases()],
        setCursor: [() => this.#showValues()],
      },
    };
  }

  /** To the width of its place, or for paper. */
  #fit(): void {
    const isPrinting = document.documentElement.classList.contains("printing");
    const width = isPrinting ? PRINT_WIDTH : this.#place.clientWidth;
    if (width > 0) this.#plot.setSize({ width, height: HEIGHT });
  }

  /** Every second phase has a darker ground; each has its number, where there is room. */
  #drawPhases(): void {
    const { ctx, bbox } = this.#plot;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const [index, { startSeconds, endSeconds }] of this.#phases.entries()) {
      const from = Math.max(bbox.left, this.#plot.valToPos(startSeconds, "x", true));
      const to = Math.min(bbox.left + bbox.width, this.#plot.valToPos(endSeconds, "x", true));
      if (!(to > from)) continue;
      ctx.fillStyle = colour(index % 2 === 0 ? "--band-even" : "--band-odd");
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
      const text = String(index + 1);
      if (ctx.measureText(text).width + 6 * ratio > to - from) continue;
      ctx.fillStyle = colour("--muted");
      ctx.fillText(text, from + 3 * ratio, bbox.top + 3 * ratio);
    }
    ctx.restore();
  }

  #onKey(event: KeyboardEvent): void {
    const last = this.#x.length - 1;
    const now = this.#plot.cursor.idx ?? last + 1;
    const targets: Record<string, number> = {
      ArrowLeft: now - 1,
      ArrowRight: now + 1,
      Home: 0,
      End: last,
    };
    const target = targets[event.key];
    if (event.key === "Escape") this.#moveTo(undefined);
    if (target === undefined || last < 0) return;
    event.preventDefault();
    this.#moveTo(Math.min(Math.max(target, 0), last));
  }

  /** Moves the cursor as a pointer would, and says what stands there. */
  #moveTo(index: number | undefined): void {
    const x = index === undefined ? undefined : this.#x[index];
    if (x === undefined) {
      this.#plot.setCursor({ left: -10, top: -10 });
      this.#spoken.textContent = "";
      return;
    }
    this.#plot.setCursor({ left: this.#plot.valToPos(x, "x"), top: 0 });
    const values = this.#columns.flatMap((column, series) => {
      const value = column[index ?? 0];
      return value == null ? [] : [`${this.#options.labels[series]} ${numberText(value)}`];
    });
    const { xText, unit } = this.#options;
    this.#spoken.textContent = `${xText(x)}: ${values.join(", ")} (${unit})`;
  }

  /** In the legend: the values at the cursor, or the latest. */
  #showValues(): void {
    const index = this.#plot.cursor.idx;
    for (const [series, { value }] of this.#entries.entries()) {
      const column = this.#columns[series] ?? [];
      const at = index == null ? column.findLast((candidate) => candidate !== null) : column[index];
      value.textContent = at == null ? "–" : numberText(at);
    }
  }

  /** Only while somebody looks at them. */
  #showNumbers(): void {
    if (!this.#details.open) return;
    const caption = textElement("caption", `Over the whole of the chart (${this.#options.unit})`);
    const head = row("th", ["Series", "Lowest", "Highest", "Highest at", "Last"]);
    const body = this.#columns.flatMap((column, series) => {
      const label = this.#options.labels[series] ?? "";
      const cells = this.#summary(column);
      return cells === undefined ? [] : [row("td", [label, ...cells])];
    });
    const parts = [element("thead", ""), element("tbody", "")] as const;
    parts[0].append(head);
    parts[1].append(...body);
    this.#numbers.replaceChildren(caption, ...parts);
  }

  #summary(column: Column): string[] | undefined {
    const values = column.filter((value) => value !== null);
    if (values.length === 0) return undefined;
    const highest = values.reduce((a, b) => Math.max(a, b));
    const lowest = values.reduce((a, b) => Math.min(a, b));
    const at = this.#x[column.indexOf(highest)] ?? 0;
    return [
      numberText(lowest),
      numberText(highest),
      this.#options.xText(at),
      numberText(values.at(-1) ?? 0),
    ];
  }
}

/** A logarithmic axis has its lines and texts at the powers of ten only. */
function axis(isLogarithmic: boolean, text: (value: number) => string): uPlot.Axis {
  const filter = (_: uPlot, splits: number[]) =>
    splits.map((value) => (isLogarithmic && !isPowerOfTen(value) ? null : value));
  return {
    stroke: () => colour("--muted"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: () => colour("--grid"), width: 1, filter },
    ticks: { stroke: () => colour("--grid"), width: 1, size: 4, filter },
    filter,
    values: (_, splits) => splits.map((value) => (value === null ? "" : text(value))),
  };
}

function lineOf(label: string, index: number): uPlot.Series {
  return {
    label,
    stroke: () => seriesColour(index),
    width: 2,
    dash: DASHES[index % DASHES.length] ?? [],
    points: { size: 4 },
  };
}

const SVG = "http://www.w3.org/2000/svg";

/** A piece of the line, for the legend. */
function lineSample(index: number): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  const place = { x1: "0", x2: "28", y1: "5", y2: "5", "stroke-width": "3" };
  for (const [name, value] of Object.entries(place)) line.setAttribute(name, value);
  line.setAttribute("stroke-dasharray", (DASHES[index % DASHES.length] ?? []).join(" "));
  svg.setAttribute("class", `series-${(index % DASHES.length) + 1}`);
  svg.setAttribute("width", "28");
  svg.setAttribute("height", "10");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

function seriesColour(index: number): string {
  return colour(`--series-${(index % DASHES.length) + 1}`);
}

/** Of the stylesheet, for light, dark or paper as it is now. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

function onNewColours(listener: () => void): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listener);
}

/** Fits a sheet of A4 and of letter paper. */
const PRINT_WIDTH = 620;

/** The stylesheet gives `printing` the light colours, since the charts are drawn before the medium changes. */
function onPrint(listener: () => void): void {
  for (const event of ["beforeprint", "afterprint"]) {
    addEventListener(event, () => {
      document.documentElement.classList.toggle("printing", event === "beforeprint");
      listener();
    });
  }
}

/** Seconds. */
const TIME_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400,
];

/** A point stands at the end of its second. */
function timeRange(_: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  const from = Math.max(0, (min ?? 0) - 1);
  return [from, Math.max(max ?? 0, from + 1)];
}

function fromZero(_: uPlot, _min: number | null, max: number | null): uPlot.Range.MinMax {
  return [0, (max ?? 0) > 0 ? (max ?? 0) * 1.1 : 1];
}

/** Whole powers of ten around the values. */
function decades(_: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  const low = 10 ** Math.floor(Math.log10(min ?? 1));
  const high = 10 ** Math.ceil(Math.log10(max ?? 1));
  return [low, high > low ? high : low * 10];
}

function isPowerOfTen(value: number): boolean {
  return Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6;
}

/** A logarithmic axis has no zero. */
function positive(value: number | null): number | null {
  return value === null ? null : Math.max(value, 0.001);
}

/** 1 -> "0", 100 -> "99", 1000 -> "99.9". */
function percentText(oneIn: number): string {
  const digits = Math.max(0, Math.ceil(Math.log10(oneIn) - 1e-9) - 2);
  return (100 - 100 / oneIn).toFixed(digits);
}

/** "7 s", "2:05", "1:02:05". */
export function timeText(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** Three digits that count, and thin spaces between thousands. */
function numberText(value: number): string {
  const digits = Math.abs(value) < 1 ? 3 : Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  const [whole = "", fraction = ""] = String(Number(value.toFixed(digits))).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/gu, "\u202f");
  return fraction === "" ? grouped : `${grouped}.${fraction}`;
}

/** A table that is wider than the screen is scrolled with the arrow keys; Safari asks for a tabindex. */
function reachByKeyboard(scroller: HTMLElement): void {
  new ResizeObserver(() => {
    if (scroller.scrollWidth > scroller.clientWidth) scroller.tabIndex = 0;
    else scroller.removeAttribute("tabindex");
  }).observe(scroller);
}

function element<Name extends keyof HTMLElementTagNameMap>(name: Name, className: string) {
  const made = document.createElement(name);
  if (className !== "") made.className = className;
  return made;
}

function textElement(name: keyof HTMLElementTagNameMap, text: string): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/** The first cell is the row's name; in the head, all are names of columns. */
function row(kind: "th" | "td", texts: readonly string[]): HTMLTableRowElement {
  const made = element("tr", "");
  for (const [index, text] of texts.entries()) {
    const cell = textElement(index === 0 ? "th" : kind, text);
    if (cell.tagName === "TH") cell.setAttribute("scope", kind === "th" ? "col" : "row");
    made.append(cell);
  }
  return made;
}

const reportData = document.getElementById("run-data")?.textContent;
if (reportData != null) {
  const { charts, time, curves } = JSON.parse(reportData) as ReportData;
  showTimeCharts(charts, { zoom: true }).update(time);
  showCurves(curves);
  document.querySelectorAll<HTMLElement>(".scrolls").forEach(reachByKeyboard);
}
