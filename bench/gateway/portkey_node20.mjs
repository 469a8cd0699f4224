// Portkey 1.15.2 appends to the immutable headers of fetch's Response on its stream path, which Node 20 answers with an
// error. Preloaded, this hands it a Response with mutable headers; nothing else is changed.
const { fetch: original, Response } = globalThis;
globalThis.fetch = async (...args) => {
  const r = await original(...args);
  return new Response(r.body, { status: r.status, statusText: r.statusText, headers: r.headers });
};
