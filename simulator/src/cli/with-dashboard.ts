/** Shows a run on a live dashboard while it goes on, and for as long as somebody looks at it afterwards. */

import { type CliContext, interrupted } from "../../../host/src/cli/command.ts";
import type { Output } from "../../../host/src/cli/output.ts";
import { UsageError } from "../../../host/src/errors.ts";
import { type ListenAddress, parseListenAddress } from "../listen-address.ts";
import type { Dashboard } from "../pages/dashboard.ts";
import type { DashboardRun } from "../pages/dashboard-run.ts";
import type { RunResult } from "../run/result.ts";
import type { RunSample } from "../run/run-sample.ts";

/** What a run has to tell the dashboard. */
export interface DashboardHooks {
  onStart: (run: DashboardRun) => void;
  onSample: (sample: RunSample) => void;
  onResult: (result: RunResult) => void;
}

export interface WithDashboardOptions {
  /** As `--dashboard [host:port]` was given; true without an address. */
  flag: string | boolean | undefined;
  /** Nobody has asked for it: goes on without one where there cannot be one. */
  isOptional?: boolean;
  scenarioName: string;
  context: CliContext;
  output: Output;
}

/**
 * Calls `run` with what it has to call, and answers what it answers: at once if no browser shows the dashboard then, otherwise
 * when the last one has closed it, or the person interrupts. Throws what `run` throws, and a UsageError if the dashboard
 * cannot listen where the flag says.
 */
export async function withDashboard<Answer>(
  options: WithDashboardOptions,
  run: (hooks: DashboardHooks) => Promise<Answer>,
): Promise<Answer> {
  const dashboard = await openDashboard(options);
  if (dashboard === undefined) return run(NO_HOOKS);
  const { context, output } = options;
  output.note(`Dashboard: ${dashboard.url}`);
  try {
    const answer = await run({
      onStart: (view) => dashboard.start(view),
      onSample: (sample) => dashboard.sample(sample),
      onResult: (result) => dashboard.finish(result),
    });
    if (dashboard.isWatched && !context.interrupt.aborted) {
      output.note("The dashboard, with its report, stays until you close it in the browser.");
      await Promise.race([dashboard.unwatched(), interrupted(context)]);
    }
    return answer;
  } catch (error) {
    dashboard.fail(error);
    throw error;
  } finally {
    await dashboard.close();
  }
}

const NO_HOOKS: DashboardHooks = { onStart: () => {}, onSample: () => {}, onResult: () => {} };

/** Undefined if nobody has asked for one, or it is optional and cannot be. */
async function openDashboard({
  flag,
  isOptional = false,
  scenarioName,
  context,
  output,
}: WithDashboardOptions): Promise<Dashboard | undefined> {
  if (flag === undefined || flag === false) return undefined;
  const { host, port } = addressOf(flag);
  if (!isLoopback(host)) {
    output.warn(`the dashboard listens on ${host}, with neither login nor encryption:`);
    output.warn("everybody who can reach this machine can see the run, and publish through it.");
  }
  // Only here: most runs do without.
  const { startDashboard } = await import("../pages/dashboard.ts");
  const { world, system } = context;
  try {
    return await startDashboard({ host, port, world, scenarioName, version: system.version });
  } catch (error) {
    if (!isOptional || !(error instanceof UsageError)) throw error;
    output.note(`No dashboard: ${error.message}`);
    return undefined;
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** Without an address this machine alone, and a free port. */
function addressOf(flag: string | true): ListenAddress {
  const text = flag === true ? ":0" : flag;
  const address = parseListenAddress(text);
  if (address !== undefined) return address;
  throw new UsageError(
    `--dashboard ${JSON.stringify(text)} is no address to listen on`,
    "Give a port or HOST:PORT, as in --dashboard 127.0.0.1:8080; a scenario's name comes before the flag",
  );
}
