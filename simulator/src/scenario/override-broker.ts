/** The flags that say where the broker is and how to log in. */

import { isIPv6 } from "node:net";
import { type BrokerUrl, parseBrokerUrl } from "../../../host/src/transport/broker-url.ts";
import type { Draft, ScenarioOverrides } from "./override-draft.ts";
import { valueAt } from "./plain-data.ts";

/** Writes them into `broker`. */
export function overrideBroker(draft: Draft, overrides: ScenarioOverrides): void {
  const { username, password, passwordFile, keepAlive } = overrides;
  const isSeconds = keepAlive !== undefined && /^\d+$/.test(keepAlive);
  draft.set(["broker", "keepAlive"], "keepAlive", isSeconds ? `${keepAlive}s` : keepAlive);
  for (const key of ["caFile", "certFile", "keyFile", "insecure", "servername", "alpn"] as const) {
    draft.set(["broker", "tls", key], key, overrides[key]);
  }
  draft.set(["broker", "localAddresses"], "localAddresses", overrides.localAddresses);
  overrideUrl(draft, overrides);
  draft.set(["broker", "username"], "username", username);
  // A password takes the place of whichever the file has.
  if (password !== undefined) draft.remove(["broker", "passwordFile"]);
  if (passwordFile !== undefined) draft.remove(["broker", "password"]);
  draft.set(["broker", "password"], "password", password);
  draft.set(["broker", "passwordFile"], "passwordFile", passwordFile);
}

function overrideUrl(draft: Draft, overrides: ScenarioOverrides): void {
  const { url, host, port } = overrides;
  if (url !== undefined && (host ?? port) !== undefined) {
    draft.fail("url", "says where the broker is; use it without --host and --port");
    return;
  }
  if (url !== undefined) overrideWholeUrl(draft, url);
  if ((host ?? port) === undefined) return;

  const before = parsedUrl(valueAt(draft.document, ["broker", "url"]));
  const usesTls = valueAt(draft.document, ["broker", "tls"]) !== undefined;
  const scheme = before?.scheme ?? (usesTls ? "mqtts" : "mqtt");
  const name = host ?? before?.host ?? "localhost";
  const address = isIPv6(name) ? `[${name}]` : name;
  const portText = port === undefined ? "" : `:${port}`;
  const override = host === undefined ? "port" : "host";
  draft.set(["broker", "url"], override, `${scheme}://${address}${portText}${before?.path ?? ""}`);
}

/** A URL may hold a user name and a password, which have keys of their own; there "%" begins a place. */
function overrideWholeUrl(draft: Draft, text: string): void {
  const url = parsedUrl(text);
  if (url?.userName === undefined) {
    draft.set(["broker", "url"], "url", text);
    return;
  }
  draft.set(["broker", "url"], "url", text.replace(/\/\/.*@/su, "//"));
  draft.set(["broker", "username"], "url", url.userName.replaceAll("%", "%%"));
  if (url.password === undefined) return;
  draft.remove(["broker", "passwordFile"]);
  draft.set(["broker", "password"], "url", url.password.replaceAll("%", "%%"));
}

function parsedUrl(text: unknown): BrokerUrl | undefined {
  try {
    return typeof text === "string" ? parseBrokerUrl(text) : undefined;
  } catch {
    // The check of the scenario says what is wrong with it.
    return undefined;
  }
}
