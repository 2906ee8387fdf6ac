/** A client for the time of a command: connected before its work, closed after it, whatever happens. */

import { MqttClient, type MqttClientOptions } from "../client/mqtt-client.ts";
import { type CliContext, interrupted } from "./command.ts";
import { ExitCode } from "./exit-code.ts";

/**
 * Answers what `work` answers. Ctrl-C ends the work: what is under way may still be acknowledged. Throws why the
 * connection could not be made, or was lost for good.
 */
export async function withClient(
  options: MqttClientOptions,
  context: CliContext,
  work: (client: MqttClient) => Promise<ExitCode>,
): Promise<ExitCode> {
  const client = new MqttClient({ ...options, world: context.world });
  const lost = lossOf(client);
  const worked = client.connect().then(() => work(client));
  worked.catch(() => {}); // it may lose the race, and fail only then
  const stopped = interrupted(context).then(() => ExitCode.Ok);
  try {
    const exitCode = await Promise.race([worked, stopped, lost]);
    await client.close();
    return exitCode;
  } finally {
    client.abort();
  }
}

/** Rejects with the reason when a connection is lost and no other will be made. */
function lossOf(client: MqttClient): Promise<never> {
  const lost = new Promise<never>((_, reject) => {
    client.on("disconnected", ({ reason, reconnectInMs }) => {
      if (reason !== undefined && reconnectInMs === undefined) reject(reason);
    });
  });
  lost.catch(() => {}); // it may come after the race
  return lost;
}
