#include "app/schema.hpp"

namespace ballast::app {

namespace {

using K = SchemaKey;
using enum Form;

constexpr K ledger[] = {
    {"mode", choice, "background: answers do not wait for the disk. strict: the last byte is kept back until the call is on the disk.", "strict", "background", "background|strict"},
    {"sync_every", duration, "How often the call journal is synced: what a power loss (not a crash) may take.", "20ms", "50ms"},
    {"segment", size, "Size of one journal file, allocated at once.", "16MB", "64MB"},
    {"max", size, "Of all journal files; beyond it (a long database outage) calls are refused.", "1GB", "16GB"},
    {"retention", duration, "Calls older than this leave the ledger; 0 keeps them.", "90d", "0"},
};
constexpr K retention[] = {
    {"minutes", duration, "Calls added up by minute; 0 keeps them. Of older times charts have whole hours.", "7d", "14d"},
    {"hours", duration, "Calls added up by hour; 0 keeps them. Of older times charts have whole days.", "365d", "180d"},
    {"days", duration, "Calls added up by day; 0 keeps them.", "1825d", "0"},
    {"messages", duration, "Recorded messages of calls; 0s keeps them.", "30d", "7d"},
};
constexpr K logging[] = {
    {"level", choice, "Least level that is written.", "debug", "info", "debug|info|warn|error|off"},
    {"file", text, "\"-\" for standard output, \"stderr\", or a path; SIGHUP reopens it.", "/var/log/ballast.log", "-"},
    {"access", boolean, "One line per call.", "false", "true"},
    {"prompts", boolean, "Only false: prompts and answers are never logged.", "false", "false"},
};
constexpr K telemetry[] = {
    {"otlp", text, "Base URL of an OpenTelemetry collector (OTLP over HTTP, JSON); empty: nothing is sent. Absent: OTEL_EXPORTER_OTLP_ENDPOINT.", "http://127.0.0.1:4318"},
    {"headers", map_text, "Header fields of every request to it; values may be ${VARIABLE} and are never shown. Absent: OTEL_EXPORTER_OTLP_HEADERS.", "x-api-key"},
    {"gzip", boolean, "Requests to it are compressed. Absent: whether OTEL_EXPORTER_OTLP_COMPRESSION is gzip.", "true", "false"},
    {"metrics_every", duration, "How often metrics are sent; 0: never.", "30s", "60s"},
    {"temporality", choice, "Of the metrics that are sent: since the start, or since the last that arrived.", "delta", "cumulative", "cumulative|delta"},
    {"histograms", choice, "Their form where the conventions prescribe none: exponential ones are finer, explicit bounds are read by every backend.", "explicit", "exponential", "exponential|explicit"},
    {"service_name", text, "The resource's service.name. Absent: OTEL_SERVICE_NAME, or ballast.", "ai-gateway", "ballast"},
    {"resource", map_text, "Further attributes of the resource, beside those of OTEL_RESOURCE_ATTRIBUTES.", "deployment.environment.name"},
    {"genai", choice, "Which names of OpenTelemetry's GenAI conventions are written: docs/telemetry.md has them. Absent: newer where OTEL_SEMCONV_STABILITY_OPT_IN says gen_ai_latest_experimental, else both.", "newer", "both", "newer|older|both"},
    {"sample", number, "Share of the calls without a trace context that are traced.", "0.1", "1.0"},
};
constexpr K limits_http[] = {
    {"body", size, "Largest request body.", "8MB", "32MB"},
    {"header", size, "Largest request head.", "16KB", "32KB"},
    {"reply", size, "Largest reply accepted from a provider.", "16MB", "64MB"},
    {"header_timeout", duration, "From the first byte to the end of the head.", "5s", "10s"},
    {"body_timeout", duration, "From the head to the end of the body.", "20s", "30s"},
    {"idle_timeout", duration, "Between requests of one connection.", "30s", "60s"},
    {"write_timeout", duration, "How long a client that takes nothing is waited for.", "20s", "30s"},
    {"connections", integer, "Open client connections; further ones get a 503.", "1000", "16000"},
};
constexpr K tls[] = {
    {"cert", text, "PEM chain of the listener; empty: plain HTTP.", "/etc/ballast/cert.pem"},
    {"key", text, "PEM private key of the listener.", "/etc/ballast/key.pem"},
    {"ca_file", text, "PEM authorities for providers instead of the system's.", "/etc/ssl/ca.pem"},
};
constexpr K timeouts[] = {
    {"connect", duration, "Name, TCP and TLS together.", "2s", "3s"},
    {"headers", duration, "From the request to the response head.", "20s", "60s"},
    {"first_token", duration, "Streams: from the head to the first content.", "10s", "30s"},
    {"idle", duration, "Streams: between two pieces.", "10s", "30s"},
    {"total", duration, "The whole attempt.", "120s", "600s"},
};
constexpr K quirks[] = {
    {"include_usage", boolean, "Accepts stream_options.include_usage.", "false", "true"},
    {"responses", boolean, "Serves /responses itself; else such calls are translated to chat.", "true", "false"},
    {"batch", boolean, "Has its vendor's batch API: calls of urgency batch are gathered and sent through it. True if absent for OpenAI and Anthropic at their own addresses.", "true", "false"},
    {"max_tokens_field", text, "Spelling to insert where a request has no limit of its answer.", "max_completion_tokens"},
    {"structured", choice, "How its models are asked for JSON of a schema: its API's own field, JSON mode, a forced tool, or words in the prompt. If absent: as the provider is known to.", "json", {}, "native|json|tool|prompt"},
};
constexpr K credentials[] = {
    {"name", text, "For people, in logs and records.", "openai-eu"},
    {"value", text, "The secret, usually ${VARIABLE}.", "sk-example-1234567890", {}, {}, {}, true},
    {"rpm", integer, "Requests a minute that this key may take.", "500"},
    {"tpm", integer, "Tokens a minute that this key may take.", "200000"},
    {"concurrency", integer, "Simultaneous calls on this key.", "20"},
};
constexpr K service_price[] = {
    {"input", money, "Per million prompt tokens.", "$0.10", {}, {}, {}, true},
    {"output", money, "Per million answer tokens.", "$0.40", "$0"},
    {"cache_read", money, "Per million prompt tokens read from the provider's cache; as input if absent.", "$0.01"},
    {"cache_write", money, "Per million prompt tokens written to the provider's cache; as input if absent.", "$0.20"},
    {"cache_write_1h", money, "The same, for the longer cache.", "$0.40"},
    {"reasoning", money, "Per million reasoning tokens; as output if absent.", "$0.40"},
    {"audio_input", money, "Per million audio tokens in; as input if absent.", "$1"},
    {"audio_output", money, "Per million audio tokens out; as output if absent.", "$2"},
    {"image_input", money, "Per million image tokens in; as input if absent.", "$1"},
    {"image_output", money, "Per million image tokens out; as output if absent.", "$2"},
};
constexpr K price[] = {
    service_price[0], service_price[1], service_price[2], service_price[3], service_price[4],
    service_price[5], service_price[6], service_price[7], service_price[8], service_price[9],
    {"flex", object, "The prices of calls that the provider says it served at its flex tier; as above if absent.", {}, {}, {}, service_price},
    {"priority", object, "Likewise at its priority tier.", {}, {}, {}, service_price},
};
constexpr K sim_price[] = {price[0], price[1], price[2]};
constexpr K faults[] = {
    {"kind", choice, "What goes wrong.", "http_429", {},
     "http_429|http_429_billing|http_401|http_500|http_502|http_503|http_504|http_529|reset|silence|slow_first_token|cut|stall|"
     "malformed_chunk|missing_terminator|context_length|content_filter|prefill_rejected|over_report_usage|error_in_stream|"
     "wrong_content_length", {}, true},
    {"rate", number, "Share of the calls it strikes.", "0.5", "1.0"},
    {"first", integer, "Only the model's first so many requests.", "1"},
    {"every", integer, "Only each so-manieth request.", "3"},
    {"from", duration, "Since the simulator's start.", "10s", "0"},
    {"until", duration, "Since the simulator's start.", "60s"},
    {"period", duration, "Flapping: on for the first half of each period, off for the second.", "10s"},
    {"retry_after", duration, "The Retry-After that a 429 or 503 carries.", "1s"},
    {"after_tokens", integer, "Streams: after how many tokens it strikes.", "40", "8"},
    {"delay", duration, "slow_first_token: how slow.", "20s", "20s"},
};
constexpr K answers[] = {
    {"match", text, "Text that the last user message contains; absent: any.", "weather"},
    {"text", text, "What is answered.", "\"It rains.\""},
    {"tool", text, "Call this tool instead.", "get_weather"},
    {"arguments", text, "The tool's arguments, as JSON.", "\"{}\"", "\"{}\""},
};
constexpr K provider_models[] = {
    {"latency", delay, "Before the response head.", "5ms", "0"},
    {"ttft", delay, "From the head to the first token.", "20ms", "20ms"},
    {"tokens_per_second", number, "Rate of the answer; 0: as fast as possible.", "100", "100"},
    {"output_tokens", integer, "Length of the default answer.", "60", "60"},
    {"answer", text, "The default answer's text.", "\"Hello from the simulator.\""},
    {"answers", list, "Scripted answers; the first that matches.", {}, {}, {}, answers},
    {"prefill", boolean, "Continues an assistant message.", "false", "true"},
    {"dimensions", integer, "Of embeddings.", "128", "64"},
    {"faults", list, "What goes wrong, when and how often; the first that strikes.", {}, {}, {}, faults},
    {"price", object, "Per million tokens; free if absent.", {}, {}, {}, sim_price},
    {"per_image", money, "Per image made.", "$0.04"},
    {"context", integer, "Context length.", "8192", "128000"},
};
constexpr K providers[] = {
    {"kind", choice, "The protocol it speaks; every OpenAI-compatible server is openai.", "anthropic", "openai", "openai|anthropic|gemini|azure|simulator"},
    {"base_url", text, "Where it is; the vendor's own address if absent.", "http://127.0.0.1:11434/v1"},
    {"api_version", text, "Azure: the api-version parameter.", "2024-10-21"},
    {"key", text, "Its one secret, usually ${VARIABLE}.", "sk-example-1234567890"},
    {"keys", list_or_text, "Several secrets, used in rotation, each with its own limits.", {}, {}, {}, credentials},
    {"headers", map_text, "Header fields sent with every request to it, by name; values may be ${VARIABLE} and are never shown. Not those that Ballast sets itself.", "OpenAI-Organization"},
    {"price_multiplier", number, "Of the shipped prices of its models: a regional uplift (1.1), or a discount. Prices under models: are taken as they are.", "1.1", "1.0"},
    {"timeouts", object, "Timers of one attempt.", {}, {}, {}, timeouts},
    {"quirks", object, "Habits that differ from the protocol's.", {}, {}, {}, quirks},
    {"models", map, "Simulator: its models by name. Others: a list of the names it is known to serve.", "sim-small", {}, {}, provider_models},
    {"seed", integer, "Simulator: of its random choices.", "7", "1"},
};
constexpr K models[] = {
    {"price", object, "Dollars per million tokens, instead of the shipped price table's.", {}, {}, {}, price},
    {"per_image", money, "Per image made, the dearest size and quality; charged where tokens out have no price.", "$0.04"},
    {"image_tokens", integer, "Tokens out at most for one image: what a budget holds, where the shipped table has no bound.", "6240"},
    {"per_request", money, "Per call answered, on top of its tokens.", "$0.005"},
    {"batch_percent", integer, "What the provider's batch service costs, of the price.", "50"},
    {"context", integer, "Context length in tokens.", "32768"},
    {"max_output", integer, "Longest answer in tokens.", "8192"},
    {"encoding", choice, "Its tokenizer, where its name does not tell and it is one of these: its prompts are then counted exactly, also for budgets. Not for a tokenizer that is only alike.", "o200k_base", {}, "o200k_base|cl100k_base"},
    {"tools", boolean, "Can call tools.", "true"},
    {"images", boolean, "Reads images.", "true"},
    {"json", boolean, "Structured output.", "true"},
    {"prefill", boolean, "Continues an assistant message.", "true"},
};
constexpr K targets[] = {
    {"model", text, "PROVIDER/MODEL.", "sim/sim-small", {}, {}, {}, true},
    {"weight", integer, "Strategy weighted: its share. 0: only when all others are gone.", "3", "1"},
    {"complexity", choice, "Strategy complexity: the class it is meant for.", "simple", {}, "simple|medium|hard"},
    {"intents", texts, "Strategy intent: the labels it is meant for; absent: for all others, for what is unclear and what is out of scope.", "[refund, delivery]"},
};
constexpr K retries[] = {
    {"attempts", integer, "Upstream attempts of a call, all targets together.", "3", "4"},
    {"deadline", duration, "From arrival to the first byte of the answer.", "30s", "60s"},
    {"backoff", duration, "First ceiling of the full-jitter wait.", "100ms", "250ms"},
    {"max_backoff", duration, "Last ceiling of the full-jitter wait.", "4s", "8s"},
    {"patience", duration, "A Retry-After up to this is waited for on the same target.", "1s", "2s"},
};
constexpr K hedge[] = {
    {"after", duration, "Without a first byte after this, ask the next target too; absent: never.", "800ms"},
    {"max", integer, "Extra attempts.", "1", "1"},
};
constexpr K stream[] = {
    {"rescue", choice, "When a stream breaks: restart (from the held-back start), continue (prefill) or error.", "restart", "error", "restart|continue|error"},
    {"hold_back", integer, "Tokens kept back before the first byte goes out (restart: 64 unless stated; continue: none).", "32", "64"},
};
constexpr K cache[] = {
    {"ttl", duration, "How long an answer is good; 0: no cache.", "1h", "0"},
    {"scope", choice, "Whose answers: the same key's, or everybody's.", "shared", "key", "key|shared"},
    {"across_nodes", boolean, "Answers that one node has made serve all nodes, through PostgreSQL. With SQLite there is one node, and nothing changes.", "true", "false"},
};
constexpr K queue[] = {
    {"wait", duration, "How long a call over its limit waits instead of getting a 429.", "5s", "0"},
    {"depth", integer, "How many may wait for the same limit.", "50", "100"},
};
constexpr K degrade[] = {
    {"stale", duration, "When all targets fail: a cached answer up to this old.", "24h", "0"},
    {"template", text, "When that fails too: this answer.", "\"We are busy; please try again.\""},
};
constexpr K structured[] = {
    {"enforce", choice, "Which answers must be the JSON that was asked for: those with a schema, those of JSON mode too, or none.", "json", "schema", "schema|json|none"},
    {"reask", integer, "How often a model is asked again with what was wrong, within the route's attempts.", "2", "1"},
    {"on_failure", choice, "An answer that stays wrong: an error (422), or passed on with the header x-ballast-structured: invalid.", "pass", "error", "error|pass"},
    {"stream", choice, "Streams: watch tells what can still become the JSON; hold sends nothing before the whole is judged.", "hold", "watch", "watch|hold"},
    {"schema", text, "File of a JSON Schema, beside this one: for calls that bring none.", "schemas/order.json"},
};
constexpr K redact[] = {
    {"name", text, "Stands in brackets for what was taken out; of a-z, 0-9 and _.", "national_id", {}, {}, {}, true},
    {"pattern", text, "A regular expression (ECMA-262).", "\"[A-Z]{2}[0-9]{7}\"", {}, {}, {}, true},
};
constexpr K record[] = {
    {"mode", choice, "Which calls: none, some, or all.", "full", "sampled", "off|sampled|full"},
    {"share", number, "Mode sampled: how many of them.", "0.1", "0.01"},
    {"errors", boolean, "Mode sampled: failed calls too, whichever they are.", "false", "true"},
    {"max_bytes", size, "Of request and of reply, as kept; what is longer is cut. 1MB at most.", "64KB", "256KB"},
    {"redact", list_or_text, "What is taken out before anything is written: all, none, secrets, email, phone, card, iban, ip, ssn, and patterns of one's own. Secrets always are.", {}, "[all]", {}, redact},
};
constexpr K direct[] = {
    {"retries", object, "Attempts, deadline and waiting.", {}, {}, {}, retries},
    {"hedge", object, "A second attempt beside a slow one.", {}, {}, {}, hedge},
    {"stream", object, "What becomes of a stream that breaks.", {}, {}, {}, stream},
    {"cache", object, "Exact cache.", {}, {}, {}, cache},
    {"queue", object, "Waiting instead of a 429.", {}, {}, {}, queue},
    {"on_content_filter", choice, "What a provider's safety refusal does: end the call, or try the next target.", "next", "fail", "fail|next"},
    {"degrade", object, "When every target failed.", {}, {}, {}, degrade},
    {"structured", object, "Answers that must be JSON: judged, put right, asked for again.", {}, {}, {}, structured},
    {"record", choice_or_object, "Whether messages of its calls are kept: off, sampled, full, or more exactly.", {}, "off", "off|sampled|full", record},
};
constexpr K ask[] = {
    {"model", text, "PROVIDER/MODEL: a small one.", "sim/sim-small", {}, {}, {}, true},
    {"timeout", duration, "Of its whole answer; at most 1m, and half of what the route's deadline leaves. Then the call is as unclear as before.", "1s", "2s"},
    {"out_of_scope", boolean, "Also ask where the classifier calls it out of scope.", "true", "false"},
    {"max_tokens", integer, "Of its answer, thoughts included.", "256", "1024"},
    {"effort", choice, "Of a model that thinks; absent: its own.", "minimal", {}, "none|minimal|low|medium|high"},
    {"labels", map_text, "What labels mean, in words for the model.", "refund"},
};
constexpr K routes[] = {
    {"targets", list_or_text, "PROVIDER/MODEL, in the order of preference.", {}, {}, {}, targets, true},
    {"strategy", choice, "How the order is made.", "cheapest", "ordered", "ordered|weighted|least_latency|cheapest|complexity|context|intent"},
    {"classifier", text, "Strategies intent, and complexity where the caller declares none: what tells what the last user's message wants.", "mails"},
    {"unsure_below", number, "A label of less confidence is not gone by.", "0.7", "0.5"},
    {"ask", object, "A small model that is asked once where the classifier is unsure, within the call's own budget.", {}, {}, {}, ask},
    direct[0], direct[1], direct[2], direct[3], direct[4], direct[5], direct[6], direct[7], direct[8],
};
constexpr K classifiers[] = {
    {"examples", examples, "Labelled texts: a file beside this one (.tsv, .csv, .jsonl), a list of files, or texts by label; at most 20,000.", "mails.tsv", {}, {}, {}, true},
    {"out_of_scope_label", text, "Label of examples that belong to none of the others.", "none", "oos"},
    {"false_refusals", number, "Share of in-scope texts that may be called out of scope.", "0.02", "0.05"},
    {"seed", integer, "The same examples and seed give the same classifier.", "7", "1"},
};
constexpr K limits[] = {
    {"scope", choice, "Whom each quota is for.", "key", "system", "provider|model|key|user|feature|team|system"},
    {"match", text, "Only this value (exact, or a prefix ending in *); absent: every value, each for itself.", "sim/sim-small"},
    {"requests", rate, "Requests in a time.", "600/m"},
    {"tokens", rate, "Tokens in a time: estimated before, corrected after.", "200000/m"},
    {"concurrency", integer, "Simultaneous calls.", "50"},
};
constexpr K budgets[] = {
    {"name", text, "Stable name: spent money is remembered under it.", "daily"},
    {"scope", choice, "Whose money.", "key", "system", "request|key|user|feature|team|model|system"},
    {"match", text, "Only this value (exact, or a prefix ending in *); absent: every value, each for itself.", "key_abc"},
    {"amount", money, "What may be spent.", "$5", {}, {}, {}, true},
    {"per", choice, "The window, in UTC.", "month", "day", "hour|day|month|fixed"},
    {"from", time, "Fixed window: its start.", "2026-11-01"},
    {"to", time, "Fixed window: its end.", "2026-12-01"},
};
constexpr K breakers[] = {
    {"consecutive", integer, "Failures in a row that open a breaker.", "3", "5"},
    {"ratio", number, "Or this share of failures …", "0.4", "0.5"},
    {"minimum", integer, "… among at least this many calls …", "10", "20"},
    {"window", duration, "… in this time.", "20s", "30s"},
    {"cool_down", duration, "First pause before a probe; doubles with each that fails.", "1s", "2s"},
    {"max_cool_down", duration, "Longest pause.", "20s", "30s"},
    {"early_every", duration, "While every target of a call rests, each may be asked this often all the same; 0s: never.", "5s", "1s"},
};
constexpr K idempotency[] = {
    {"retention", duration, "How long an Idempotency-Key is remembered.", "12h", "24h"},
    {"unknown", choice, "A retry whose first try a crash took away: tell the caller, or dispatch again.", "redispatch", "tell", "tell|redispatch"},
    {"body", size, "A larger answer is not remembered.", "2MB", "1MB"},
};
constexpr K work[] = {
    {"concurrency", integer, "Jobs that this process runs at once.", "64", "256"},
    {"max_jobs", integer, "Jobs not ended; above it submissions are refused.", "100000", "5000000"},
    {"retention", duration, "How long an ended job and an Idempotency-Key of a submission are kept.", "30d", "7d"},
    {"timeout", duration, "Of an attempt whose job does not say; 0s: none.", "2m", "10m"},
};
constexpr K off_peak[] = {
    {"from", text, "Time of day.", "\"22:00\"", {}, {}, {}, true},
    {"until", text, "Time of day; before `from`: of the next one.", "\"06:00\"", {}, {}, {}, true},
    {"timezone", text, "An IANA name.", "Europe/Berlin", "UTC"},
};
constexpr K batches[] = {
    {"file", size, "Largest file that may be uploaded, 512MB at most.", "20MB", "100MB"},
    {"requests", integer, "Requests of one batch.", "1000", "50000"},
    {"concurrency", integer, "Jobs of the queue `batch` at once, where nobody has set the queue's limits.", "16", "64"},
    {"retention", duration, "How long the files that batches make, and batches that are over, are kept; 0s: for ever.", "7d", "30d"},
    {"gather", duration, "How long calls of urgency batch are gathered for a provider that has a batch API, and how often their batch is asked after.", "5m", "1m"},
    {"off_peak", object, "The hours in which calls of urgency batch are made; absent: at any time. One whose deadline comes first does not wait for them.", {}, {}, {}, off_peak},
};
constexpr K webhook_secrets[] = {
    {"value", text, "Signs, by the Standard Webhooks convention: whsec_ and 24 to 64 bytes in base64, usually ${VARIABLE}.", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", {}, {}, {}, true},
    {"previous", text, "The value before: signs too, until every receiver knows the new one.", "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="},
};
constexpr K webhooks[] = {
    {"allow", texts, "What may be reached beside the public internet: HOST, HOST:PORT, or addresses (10.0.0.0/8).", "[hooks.internal, 10.0.0.0/8]"},
    {"secrets", map, "By name. A job's webhook may name one ({url, secret}); \"default\" signs the others, which without it go unsigned.", "default", {}, {}, webhook_secrets},
};
constexpr K alert_receivers[] = {
    {"type", choice, "webhook: {type, timestamp, data: {rule, firing, resolved}}, signed as other webhooks are; slack: {text, blocks}, as Slack's incoming webhooks and what imitates them take it.", "slack", "webhook", "webhook|slack"},
    {"url", text, "Where it is posted; beyond the public internet only what webhooks.allow names.", "https://hooks.example.com/alerts", {}, {}, {}, true},
    {"secret", text, "One of webhooks.secrets that signs; absent: \"default\", if there is one.", "default"},
    {"severity", choice, "The least grave that is told.", "page", "ticket", "info|ticket|page"},
    {"rules", texts, "Only alerts of these rules; absent: of all.", "[cost_spike]"},
    {"resolved", boolean, "Tell the end, too.", "false", "true"},
};
constexpr K alert_burns[] = {
    {"rate", number, "Times faster than the objective allows.", "14.4", {}, {}, {}, true},
    {"over", duration, "The long window: enough of it is spent; at most 72h.", "1h", {}, {}, {}, true},
    {"now", duration, "The short window: it still goes on; at least 1m.", "5m", {}, {}, {}, true},
};
constexpr K alert_rules[] = {
    {"off", boolean, "The rule says nothing.", "true", "false"},
    {"kind", choice, "Of a rule of your own; a rule of the default set has its kind.", "cost_spike", {},
     "cost_spike|token_anomaly|traffic_rise|silence|error_burst|error_budget|latency_rise|latency_budget|cache_collapse|budget|budget_forecast|dead_letters|breaker_open|queue_age|price_missing|journal|lost_commits"},
    {"severity", choice, "How grave its alerts are.", "page", "ticket", "info|ticket|page"},
    {"by", texts, "What calls are judged by, each value alone: all (everything together), model, provider, route, key, team, user, feature, operation.", "[all, key]", "[all]"},
    {"where", map_text, "Only what has these labels.", "model"},
    {"for", duration, "The condition holds so long before it fires.", "1m", "0"},
    {"resolve", duration, "And is gone so long before it is resolved.", "10m", "5m"},
    {"factor", number, "Times what is usual (kinds with a baseline).", "4"},
    {"floor", number, "And at least so much more than usual: dollars, tokens or calls.", "20"},
    {"threshold", number, "A share or a count (kinds without a baseline).", "0.5"},
    {"age", duration, "How old, how long open, how long silent, how long ago.", "30m"},
    {"least", integer, "Calls, or failures, below which nothing is said.", "20"},
    {"objective", number, "error_budget, latency_budget: the share of calls that should be good.", "0.999"},
    {"bound", duration, "latency_budget: what is slow. One value for all rules.", "30s"},
    {"burns", list, "error_budget, latency_budget: fires while the objective's budget burns so fast over both windows of one of them. In place of the default's.", {}, {}, {}, alert_burns},
};
constexpr K alerts[] = {
    {"rules", map, "By name: changes to the rules that are on by default, and rules of your own (docs/alerts.md).", "cost_spike", {}, {}, alert_rules},
    {"receivers", map, "Who is told, beside the log and /api/alerts.", "ops", {}, {}, alert_receivers},
    {"group_wait", duration, "New alerts of one rule are told together after this.", "30s", "10s"},
    {"group_interval", duration, "Changes are told this often at most.", "1m", "5m"},
    {"repeat_interval", duration, "What goes on firing is told again after this.", "1h", "4h"},
    {"retention", duration, "How long resolved alerts are kept.", "30d", "90d"},
};
constexpr K keys[] = {
    {"name", text, "Its name in records.", "app", {}, {}, {}, true},
    {"value", text, "The secret, usually ${VARIABLE}; at least 16 characters.", "sk-app-0123456789abcdef", {}, {}, {}, true},
    {"scopes", texts, "call, usage, read, work (external workers), approve (decide what runs ask), admin.", "[call, usage]", "[call]"},
    {"models", texts, "What it may name: exact, or a prefix ending in *; absent: everything.", "[chat]"},
    {"team", text, "Limits and budgets may bind a whole team.", "web"},
    {"user", text, "Every call of this key is this user's.", "alice"},
    {"feature", text, "Every call of this key is this feature's.", "search"},
    {"expires", time, "From then on it is refused.", "2027-01-01"},
};
constexpr K cluster[] = {
    {"stale_after", duration, "With several nodes: how old what a node knows from the others (keys, breakers, rules) may be. Beyond it, with the database away, unknown keys and administrative changes get a 503 instead of a wrong answer.", "30s", "60s"},
};
constexpr K root[] = {
    {"listen", text, "ADDRESS:PORT.", "127.0.0.1:9000", "127.0.0.1:8080"},
    {"share_port", boolean, "Other processes of this user that say so too may listen at the same address: several nodes behind one port of one machine.", "true", "false"},
    {"database", text, "sqlite:PATH or postgres://…", "sqlite:ballast.db", "sqlite:DATA_DIR/ballast.db"},
    {"data_dir", text, "Where the call journal is.", "/var/lib/ballast", ".ballast"},
    {"threads", integer, "Event loops; 0: one per core.", "2", "0"},
    {"admin_key", text, "The key with every right; absent: made at the first start.", "sk-admin-0123456789abcdef"},
    {"require_key", boolean, "false: model calls without a key are let in as \"anonymous\"; everything else still needs one.", "false", "true"},
    {"drain", duration, "At SIGTERM: how long calls in flight may take to end.", "10s", "30s"},
    {"read_on_disconnect", duration, "How long an abandoned answer is read on, to learn what it cost.", "5s", "10s"},
    {"cache_size", size, "Memory of the response cache.", "64MB", "256MB"},
    {"cache_shared_size", size, "Room in the database for answers of routes with cache.across_nodes; the oldest go first.", "4GB", "1GB"},
    {"tls", object, "Certificates.", {}, {}, {}, tls},
    {"ledger", object, "Durability of the record of every call.", {}, {}, {}, ledger},
    {"retention", object, "How long things are kept; calls themselves: ledger.retention.", {}, {}, {}, retention},
    {"log", object, "JSON lines.", {}, {}, {}, logging},
    {"telemetry", object, "Traces and metrics for a collector.", {}, {}, {}, telemetry},
    {"limits_http", object, "What a client may send, and how slowly.", {}, {}, {}, limits_http},
    {"providers", map, "Who serves models; absent: the simulator, those with a key in the environment, and model servers found on this machine.", "openai", {}, {}, providers},
    {"probe_local", boolean, "Without providers: look at start for Ollama, llama.cpp, vLLM and LM Studio at their usual ports of this machine.", "false", "true"},
    {"models", map, "Facts about single models, called PROVIDER/MODEL.", "openai/my-model", {}, {}, models},
    {"routes", map, "Names a caller may use as a model, and where they lead.", "chat", {}, {}, routes},
    {"direct", object, "The same options for calls that name a model instead of a route.", {}, {}, {}, direct},
    {"classifiers", map_or_text, "Classifiers of intents by name: a file that `ballast intents train` made, beside this one, or examples to train on when this file is read.", "mails", {}, {}, classifiers},
    {"aliases", map_text, "Further names of routes and models.", "fast"},
    {"limits", list, "Requests, tokens and simultaneous calls.", {}, {}, {}, limits},
    {"budgets", list, "Money.", {}, {}, {}, budgets},
    {"breakers", object, "When a target that keeps failing is left alone.", {}, {}, {}, breakers},
    {"idempotency", object, "The Idempotency-Key header.", {}, {}, {}, idempotency},
    {"flows", text, "The folder of flows (*.yaml), beside this file.", "my-flows", "flows"},
    {"datasets", text, "The folder of datasets (*.yaml), beside this file: what questions may be asked of.", "my-datasets", "datasets"},
    {"pages", map_text, "Folders of static files, beside this file, each served under /pages/NAME/.", "analytics"},
    {"work", object, "Jobs.", {}, {}, {}, work},
    {"cluster", object, "Several nodes on one PostgreSQL.", {}, {}, {}, cluster},
    {"batches", object, "Files and batches (/v1/files, /v1/batches).", {}, {}, {}, batches},
    {"webhooks", object, "Who is told of a job's end.", {}, {}, {}, webhooks},
    {"alerts", object, "Rules over calls, money, queues and providers, on from the first start; who is told.", {}, {}, {}, alerts},
    {"keys", list, "Keys of callers; further ones by `ballast keys` and /api/keys.", {}, {}, {}, keys},
};

}  // namespace

std::span<const SchemaKey> config_schema() { return root; }

}  // namespace ballast::app
