/** The live dashboard: a small web server that shows a run to browsers while it goes on. */

import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { UsageError } from "../../../host/src/errors.ts";
import type { Timer, World } from "../../../host/src/world.ts";
import type { RunResult } from "../run/result.ts";
import type { RunSample } from "../run/run-sample.ts";
import { verdictOf } from "../run/verdict.ts";
import { dashboardPage } from "./dashboard-page.ts";
import type { DashboardRun } from "./dashboard-run.ts";
import { EventStreams } from "./event-streams.ts";
import { LiveRun } from "./live-run.ts";
import type { Verdict } from "./page-data.ts";
import { type PageScript, pageScript, pageStyle, uplotScript } from "./page-files.ts";
import { PublishDesk } from "./publish-desk.ts";
import { htmlReport } from "./report.ts";
import { type Objection, objectionToHost, objectionToSite } from "./request-guard.ts";

export interface DashboardOptions {
  /** The address or name to listen on; 127.0.0.1 keeps everybody else away. */
  host: string;
  /** 0 takes a free port. */
  port: number;
  world: World;
  scenarioName: string;
  /** Of wasmqtt. */
  version: string;
}

/**
 * Starts the dashboard and answers when it listens. Throws a UsageError if it cannot listen there, or where the scripts are
 * not built.
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const dashboard = new Dashboard(options);
  await dashboard.listen();
  return dashboard;
}

/** How often the devices are looked at. */
const DEVICES_MS = 250;

/** A browser that goes to another page of the dashboard, or loads it again, is back within this. */
const RETURN_MS = 3000;

/** The last events may take so long to reach the browsers. */
const CLOSE_MS = 1000;

/** Streams, and what loads pages. */
const SOCKET_COUNT_MAX = 256;

const SCRIPTS: readonly PageScript[] = [
  "charts.js",
  "dashboard.js",
  "device-tiles.js",
  "place.js",
  "publish-form.js",
];

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b5cad"/><path d="M3 11V6l2.5 3L8 6l2.5 3L13 6v5" fill="none" stroke="#fff" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/></svg>`;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export class Dashboard {
  readonly #options: DashboardOptions;
  readonly #live = new LiveRun();
  readonly #server: Server;
  readonly #streams = new EventStreams(
    () => this.#live.state(),
    () => this.#onFewerBrowsers(),
  );
  readonly #desk: PublishDesk;
  readonly #answers: ReadonlyMap<string, Answer>;
  #report: string | undefined;
  #deviceTimer: Timer | undefined;
  #returnTimer: Timer | undefined;
  #unwatched: (() => void) | undefined;

  constructor(options: DashboardOptions) {
    this.#options = options;
    const token = randomBytes(24).toString("base64url");
    this.#desk = new PublishDesk({
      token,
      world: options.world,
      run: () => this.#live.run,
      onArrival: (arrival) => {
        this.#live.arrived(arrival);
        this.#streams.send("arrival", arrival);
      },
    });
    this.#answers = this.#makeAnswers(token);
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.maxConnections = SOCKET_COUNT_MAX;
  }

  /** Where a browser of this machine finds it. */
  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    const isAnywhere = address === "0.0.0.0" || address === "::";
    if (family === "IPv6") return `http://[${isAnywhere ? "::1" : address}]:${port}/`;
    return `http://${isAnywhere ? "127.0.0.1" : address}:${port}/`;
  }

  /** A browser shows it. */
  get isWatched(): boolean {
    return this.#streams.count > 0;
  }

  /** `startDashboard` has called it. */
  listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      // Later ones are connections that cannot be accepted: the browser's loss, not the run's.
      this.#server.on("error", (error) => reject(cannotListen(error, host, port)));
      this.#server.listen({ host, port }, resolve);
    });
  }

  /** The run has begun. */
  start(run: DashboardRun): void {
    this.#live.start(run);
    this.#live.lookAtDevices();
    this.#streams.send("state", this.#live.state());
    this.#lookAtDevicesLater();
  }

  sample(sample: RunSample): void {
    this.#streams.send("sample", this.#live.sample(sample));
  }

  /** The run is over: from now on there is the report, and nothing is published any more. */
  finish(result: RunResult): void {
    this.#lookAtDevices();
    this.#report = htmlReport(result);
    this.#end({ ...verdictOf(result), hasReport: true });
  }

  /** The run could not be done. Changes nothing after `finish`. */
  fail(error: unknown): void {
    if (this.#report !== undefined) return;
    const problem = error instanceof Error ? error.message : String(error);
    this.#end({ tone: "bad", text: `It has failed: ${problem}.`, hasReport: false });
  }

  /** Resolves when no browser shows the dashboard any more. */
  unwatched(): Promise<void> {
    return new Promise((resolve) => {
      this.#unwatched = resolve;
      this.#onFewerBrowsers();
    });
  }

  async close(): Promise<void> {
    this.#deviceTimer?.clear();
    this.#streams.end();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeIdleConnections();
    const timer = this.#options.world.setTimer(CLOSE_MS, () => this.#server.closeAllConnections());
    await closed;
    timer.clear();
    this.#returnTimer?.clear();
  }

  #end(verdict: Verdict): void {
    this.#deviceTimer?.clear();
    this.#live.finish(verdict);
    this.#streams.send("verdict", verdict);
  }

  #lookAtDevicesLater(): void {
    this.#deviceTimer = this.#options.world.setTimer(DEVICES_MS, () => {
      this.#lookAtDevices();
      this.#lookAtDevicesLater();
    });
  }

  #lookAtDevices(): void {
    const devices = this.#live.lookAtDevices();
    if (devices !== undefined) this.#streams.send("devices", devices);
  }

  #onFewerBrowsers(): void {
    if (this.#unwatched === undefined || this.#streams.count > 0) return;
    this.#returnTimer?.clear();
    this.#returnTimer = this.#options.world.setTimer(RETURN_MS, () => {
      if (this.#streams.count === 0) this.#unwatched?.();
    });
  }

  #makeAnswers(token: string): ReadonlyMap<string, Answer> {
    const { scenarioName, version } = this.#options;
    const page = dashboardPage({ scenarioName, version, token });
    const file = (type: string, text: string, policy = "default-src 'none'"): Answer => {
      return (_, response) => send(response, 200, type, text, policy);
    };
    return new Map([
      ["GET /", file("text/html; charset=utf-8", page, POLICY)],
      ["GET /page.css", file("text/css; charset=utf-8", pageStyle())],
      ["GET /favicon.svg", file("image/svg+xml", ICON)],
      ["GET /uplot.js", file("text/javascript; charset=utf-8", uplotScript())],
      ...SCRIPTS.map((name): [string, Answer] => [
        `GET /${name}`,
        file("text/javascript; charset=utf-8", pageScript(name)),
      ]),
      ["GET /report", (_, response) => this.#sendReport(response)],
      ["GET /events", (_, response) => this.#openStream(response)],
      ["POST /publish", (request, response) => void this.#publish(request, response)],
    ]);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const path = (request.url ?? "").split("?")[0] ?? "";
    // Links from elsewhere may lead to a page, but nobody else takes its parts.
    const isPage = path === "/" || path === "/report";
    const objection =
      objectionToHost(request, this.#options.host) ??
      (isPage ? undefined : objectionToSite(request));
    const method = request.method === "HEAD" ? "GET" : request.method;
    const answer = this.#answers.get(`${method} ${path}`);
    const nothing = { status: 404, problem: "There is nothing here: see the dashboard, /" };
    if (objection !== undefined) sendObjection(response, objection);
    else if (answer !== undefined) answer(request, response);
    else sendObjection(response, nothing);
  }

  #sendReport(response: ServerResponse): void {
    if (this.#report !== undefined) {
      // Its own policy, which names its scripts, stands in the report.
      send(response, 200, "text/html; charset=utf-8", this.#report, "frame-ancestors 'none'");
      return;
    }
    const problem = "The report is there when the run is over. Until then see the dashboard, /";
    sendObjection(response, { status: 404, problem });
  }

  #openStream(response: ServerResponse): void {
    const problem = "Too many browsers show the dashboard: close some of them";
    if (this.#streams.isFull) sendObjection(response, { status: 503, problem });
    else this.#streams.add(response);
  }

  async #publish(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const objection = await this.#desk.publish(request);
    if (objection !== undefined) sendObjection(response, objection);
    else send(response, 200, "application/json", "{}", "default-src 'none'");
  }
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
  policy: string,
): void {
  response.writeHead(status, { "content-type": type, "content-security-policy": policy });
  response.end(text);
}

function sendObjection(response: ServerResponse, { status, problem }: Objection): void {
  // What is left of a body that nobody wants is not read.
  response.setHeader("connection", "close");
  send(response, status, "application/json", JSON.stringify({ problem }), "default-src 'none'");
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): UsageError {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: "another program uses this port",
    EACCES: "this user may not use this port",
    EADDRNOTAVAIL: "this machine does not have this address",
    ENOTFOUND: "this name has no address",
  };
  const reason = reasons[error.code ?? ""] ?? error.message;
  return new UsageError(
    `The dashboard cannot listen on ${host}, port ${port}: ${reason}`,
    "Choose another place, as in --dashboard 127.0.0.1:8080; without one it takes a free port",
    { cause: error },
  );
}
