/** Who may ask the dashboard what: other sites that a browser has open may nothing. */

import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/** Why a request is not answered: an HTTP status and a sentence. */
export interface Objection {
  status: number;
  problem: string;
}

/**
 * Against DNS rebinding: a page of somebody else can make its own name point here, but not an address or `localhost`.
 * `host` is the name that the dashboard was told to listen on.
 */
export function objectionToHost({ headers }: IncomingMessage, host: string): Objection | undefined {
  const name = /^(\[[^\]]+\]|[^:]*)(:\d+)?$/u.exec(headers.host ?? "")?.[1]?.toLowerCase() ?? "";
  const isAddress = isIP(name.replace(/^\[|\]$/gu, "")) !== 0;
  if (isAddress || name === "localhost" || name === host.toLowerCase()) return undefined;
  return {
    status: 421,
    problem: "The dashboard answers to an IP address and to localhost only: use one of them",
  };
}

/** Only the dashboard's own page, and who types an address, may fetch its parts. */
export function objectionToSite({ headers }: IncomingMessage): Objection | undefined {
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return undefined;
  return { status: 403, problem: "Another site has asked for this: open the dashboard itself" };
}

/** Publishing takes the page's own origin, and the token that stands in the page. */
export function objectionToWriter(request: IncomingMessage, token: string): Objection | undefined {
  if (!isSameOrigin(request)) {
    return { status: 403, problem: "Only the dashboard's own page may publish" };
  }
  const given = request.headers["x-wasmqtt-token"];
  if (typeof given !== "string" || !isEqual(given, token)) {
    return { status: 403, problem: "This page belongs to an earlier run: load it again" };
  }
  const type = request.headers["content-type"]?.split(";")[0]?.trim();
  if (type !== "application/json") return { status: 415, problem: "Send application/json" };
  return undefined;
}

/** The scheme may differ behind a proxy. */
function isSameOrigin({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return headers["sec-fetch-site"] === "same-origin";
  return URL.canParse(origin) && new URL(origin).host === host?.toLowerCase();
}

function isEqual(given: string, token: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}
