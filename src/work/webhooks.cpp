#include "work/webhooks.hpp"

#include "base/log.hpp"
#include "net/url.hpp"

namespace ballast::work {

namespace {

// Longer than a row may wait in the deliverer's memory and be attempted, so that only a lost one is taken twice.
constexpr Duration kTaken = std::chrono::minutes(30);

Error refusal(Error error) {
  error.field = "webhook";
  return error;
}

}  // namespace

Webhooks::Webhooks(Scheduler& loop, net::Transport& transport, store::Database& database, std::shared_ptr<const net::EgressPolicy> policy, Render render, Options options)
    : loop_(loop), database_(database), policy_(std::move(policy)), render_(std::move(render)), node_(options.node), random_(options.seed),
      deliverer_(loop, transport, *this, [this](std::string_view name) { return secrets_of(name); }, random_, std::move(options.deliverer)) {}

Result<void> Webhooks::start() {
  const auto released = database_.write_now([&](store::Tx& tx) { return release_outbox(tx, node_, loop_.clock().wall()); });
  if (!released) return std::unexpected(released.error());
  if (*released > 0) log::info("webhooks_taken_up_again", {{"webhooks", *released}});
  return {};
}

void Webhooks::poke() {
  if (poked_.exchange(true)) return;
  loop_.post([this] {
    poked_.store(false);
    deliverer_.poke();
  });
}

void Webhooks::use(WebhookSecretBook book) {
  const std::lock_guard lock(mutex_);
  book_ = std::move(book);
}

bool Webhooks::knows(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return book_.contains(name);
}

Result<std::vector<WebhookSecret>> Webhooks::secrets_of(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = book_.find(name);
  if (at == book_.end()) return fail(ErrorCode::caller_not_found, fmt::format("no secret is called {} in webhooks.secrets", name), "secret");
  return at->second;
}

Result<void> Webhooks::admit(const JobSpec& spec) const {
  if (spec.webhook.empty()) return {};
  if (spec.webhook.size() > kMaxWebhookUrl) return fail(ErrorCode::caller_invalid_request, fmt::format("must be at most {} bytes", kMaxWebhookUrl), "webhook");
  const auto url = net::parse_url(spec.webhook, "webhook");
  if (!url) return fail(refusal(url.error()));
  if (const auto allowed = policy_->admit(url->origin); !allowed) return fail(refusal(allowed.error()));
  if (!spec.webhook_secret.empty() && !knows(spec.webhook_secret))
    return fail(ErrorCode::caller_invalid_request, fmt::format("no secret is called {} in webhooks.secrets of the configuration", spec.webhook_secret), "webhook.secret");
  return {};
}

Result<void> Webhooks::write(store::Tx& tx, const Job& ended) const {
  const bool whole = ended.input.size() + ended.output.size() <= kMaxWebhookDetail;
  json::object data = render_(ended, whole);
  if (!whole) data["omitted"] = "its input and output are large: ask for them at /api/jobs/" + to_string(ended.id);
  OutboxRow row{.id = ended.id.value, .kind = fmt::format("job.{}", to_string(ended.state)), .url = ended.spec.webhook, .body = {}, .secret_ref = ended.spec.webhook_secret, .attempt = 0, .created = ended.finished};
  if (row.secret_ref.empty() && knows(kDefaultSecret)) row.secret_ref = kDefaultSecret;
  row.body = to_json(json::object{{"type", row.kind}, {"timestamp", to_rfc3339(ended.finished)}, {"data", std::move(data)}});
  return insert_outbox(tx, row);
}

Task<Result<std::vector<OutboxRow>>> Webhooks::take_due(WallTime now, std::size_t most) {
  if (unsure_) {                             // what it may have taken is due again; what the deliverer has, it knows
    const auto released = co_await database_.write(loop_, [&](store::Tx& tx) { return release_outbox(tx, node_, now); });
    if (!released) co_return std::unexpected(released.error());
    unsure_ = false;
  }
  const auto due = co_await database_.read(loop_, [&](store::Tx& tx) { return outbox_due(tx, now); });
  if (!due) co_return std::unexpected(due.error());
  if (!*due) co_return std::vector<OutboxRow>{};
  auto rows = co_await database_.write(loop_, [&](store::Tx& tx) { return take_outbox(tx, node_, now, now + kTaken, most); });
  unsure_ = !rows && store::fault_of(rows.error()) == store::Fault::commit_unknown;
  co_return rows;
}

Task<Result<void>> Webhooks::settle(std::int64_t id, Delivery outcome) {
  auto done = co_await database_.write(loop_, [&](store::Tx& tx) { return settle_outbox(tx, id, outcome, loop_.clock().wall()); });
  co_return done;
}

}  // namespace ballast::work
