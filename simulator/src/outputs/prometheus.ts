/** `--out prometheus=[HOST]:PORT`: an endpoint that Prometheus scrapes while the run goes on. */

import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { UsageError } from "../../../host/src/errors.ts";
import { type ListenAddress, parseListenAddress } from "../listen-address.ts";
import type { OpenOutput, OutputsContext } from "./output.ts";

const PATH = "/metrics";

/** Throws a UsageError. */
export function parseEndpoint(target: string): ListenAddress {
  const address = parseListenAddress(target);
  if (address !== undefined) return address;
  throw new UsageError(
    `--out prometheus=${target}: this is no address to listen on`,
    "Give a port from 0 to 65535, as in prometheus=:9464, or an address and a port, as in prometheus=0.0.0.0:9464 or prometheus=[::1]:9464",
  );
}

/** Listens, and says where. Throws a UsageError if that is not possible. */
export async function openPrometheus(
  endpoint: ListenAddress,
  { version, scenario, note }: Pick<OutputsContext, "version" | "scenario" | "note">,
): Promise<OpenOutput> {
  const { RunMetrics } = await import("./metrics.ts");
  const metrics = new RunMetrics({ version, scenarioName: scenario.name });
  const server = createServer((request, response) => {
    const { method = "", url = "" } = request;
    if (url.split("?", 1)[0] !== PATH) {
      answer(response, 404, "text/plain; charset=utf-8", `The metrics are at ${PATH}.\n`);
    } else if (method !== "GET" && method !== "HEAD") {
      response.setHeader("Allow", "GET, HEAD");
      answer(response, 405, "text/plain; charset=utf-8", "The metrics can only be read.\n");
    } else {
      const { registry } = metrics;
      registry.metrics().then(
        (text) => answer(response, 200, registry.contentType, text),
        (error) => answer(response, 500, "text/plain; charset=utf-8", `${error}\n`),
      );
    }
  });
  await listen(server, endpoint);
  note(`Metrics for Prometheus: ${urlOf(server.address() as AddressInfo)}`);
  return {
    sample: (sample) => metrics.sample(sample),
    async finish() {
      await closed(server);
      return undefined;
    },
    close: () => closed(server),
  };
}

/** Node leaves the body away where HEAD was asked. */
function answer(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store" });
  response.end(text);
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}${PATH}`;
}

function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(host, port, error)));
    server.listen(port, host, () => {
      server.on("error", () => {}); // a connection that cannot be accepted is the scraper's loss
      resolve();
    });
  });
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): Error {
  const place = `--out prometheus: ${host} port ${port}`;
  switch (cause.code) {
    case "EADDRINUSE":
      return new UsageError(
        `${place} is in use already`,
        "Stop the program that listens there, or choose another port, as in --out prometheus=:9465; 0 takes a free one",
        { cause },
      );
    case "EACCES":
      return new UsageError(
        `${place}: this user may not listen there`,
        "Choose a port above 1023, as in --out prometheus=:9464",
        { cause },
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new UsageError(
        `${place}: ${host} is no address of this machine`,
        "Listen on 127.0.0.1 for this machine only, or on 0.0.0.0 for all its addresses",
        { cause },
      );
    default:
      return cause;
  }
}

/** Scrapers keep their connections open: they are not waited for. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
