// The admin API, with the token of this tab.

const KEY = "gatepost.token";

/** The gateway asks for a token, or for another one. */
export class Unauthorized extends Error {}

/** The gateway said no; the message is its words. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the gateway answered ${status}`);
    Object.assign(this, { status, body });
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

async function ask(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(method === "GET" ? 10_000 : 180_000);
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    signal: signal ? AbortSignal.any([signal, late]) : late,
  });
  if (response.status === 401) throw new Unauthorized("unauthorized");
  return response;
}

async function json(path, options) {
  const response = await ask(path, options);
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

export async function metrics() {
  const response = await ask("metrics");
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
  return response.text();
}

export async function readiness() {
  const response = await ask("readyz");
  return (await response.text()).trim();
}

const part = encodeURIComponent;

export const sessions = () => json("api/v1/sessions").then((body) => body.sessions);
export const backends = () => json("api/v1/backends").then((body) => body.backends);
export const kick = (id) => json(`api/v1/sessions/${part(id)}`, { method: "DELETE" });
export const change = (backend, host, body) =>
  json(`api/v1/backends/${part(backend)}/hosts/${part(host)}`, { method: "PUT", body });
export const reload = () => json("api/v1/reload", { method: "POST" });
