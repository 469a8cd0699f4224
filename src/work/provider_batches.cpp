#include "work/provider_batches.hpp"

#include "base/log.hpp"
#include "llm/errors.hpp"
#include "work/model_call_job.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kAtOnce = 200;                     // jobs woken, orphans booked in a turn
constexpr std::size_t kMostReply = 512u << 20;
constexpr Duration kReplyTime = std::chrono::minutes(10);
constexpr Duration kLookShared = std::chrono::seconds(1);            // whether the duty has come to this node

std::string tag_of(const ProviderBatch& batch) { return to_string(batch.id); }

// A pause that the end of the process cuts short.
struct Pause {
  Scheduler& home;
  CancelSource& stopping;
  MonoTime due;
  Timer timer;
  CancelHook hook;
  std::coroutine_handle<> handle;
  void end() {
    timer.cancel();
    hook.detach();
    if (const auto h = std::exchange(handle, {})) home.resume(h);
  }
  bool await_ready() const noexcept { return stopping.cancelled(); }
  void await_suspend(std::coroutine_handle<> h) {
    handle = h;
    const auto wake = [](void* self) { static_cast<Pause*>(self)->end(); };
    home.arm(timer, due, wake, this);
    hook.attach(&stopping, wake, this);
  }
  void await_resume() const noexcept {}
};

}  // namespace

// ---- the holder of a job ----

Task<Result<ProviderBatches::Way>> ProviderBatches::way_of(const Lease& lease, const ModelRequest& request) {
  const JobId job = lease.job->id;
  auto row = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return get_batch_call(tx, job); });
  if (!row) co_return std::unexpected(std::move(row.error()));
  if (*row) {
    Way way;
    way.wait = (*row)->state < BatchCallState::answered || ((*row)->state == BatchCallState::refused && (*row)->cancel);
    if ((*row)->state == BatchCallState::answered)
      way.answer = gateway::ProviderAnswer{.target = (*row)->provider + "/" + (*row)->model, .status = (*row)->status, .body = std::move((*row)->answer)};
    co_return way;
  }
  const auto target = caller_.batch_target(request);
  auto body = target ? llm::batch_body(request.body, target->model) : std::nullopt;
  if (!body) co_return Way{};
  BatchCall call{.job = job, .provider = target->provider, .model = target->model, .operation = request.operation, .api = target->api, .body = std::move(*body), .answer = {}};
  if (lease.job->spec.origin == Origin::batch) call.parent = lease.job->spec.parent;
  co_return Way{.wait = true, .also = [call = std::move(call)](store::Tx& tx) { return put_batch_call(tx, call); }, .answer = {}};
}

Also ProviderBatches::ended(JobId job, bool used) {
  return [job, used](store::Tx& tx) { return used ? delete_batch_call(tx, job) : refuse_batch_call(tx, job); };
}

// ---- the batches ----

void ProviderBatches::open() { tasks_.spawn(run()); }

Task<void> ProviderBatches::stop() {
  stopping_.cancel();
  co_await tasks_.join();
}

Task<void> ProviderBatches::run() {
  while (!stopping_.cancelled()) {
    const bool mine = duty_.mine();
    Result<void> done;
    if (mine) done = co_await turn();
    if (!done && !stopping_.cancelled()) log::warn("provider_batches_wait", {{"why", done.error().message}});
    co_await Pause{.home = engine_.home(), .stopping = stopping_, .due = engine_.home().clock().mono() + (mine ? options_.gather : std::min(options_.gather, kLookShared)), .timer = {}, .hook = {}, .handle = {}};
  }
}

Task<Result<void>> ProviderBatches::turn() {
  setup_ = gateway_.setup();
  auto batches = co_await engine_.database().read(engine_.home(), [](store::Tx& tx) { return list_provider_batches(tx); });
  if (!batches) co_return std::unexpected(std::move(batches.error()));
  for (ProviderBatch& b : *batches) {
    if (stopping_.cancelled()) co_return Result<void>{};
    const std::string id = tag_of(b);
    const auto wanted = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return is_wanted(tx, b.id); });
    if (!wanted) co_return std::unexpected(wanted.error());
    const auto looked = !*wanted ? co_await call_off(std::move(b)) : b.created ? co_await look_after(std::move(b)) : co_await create(std::move(b));
    if (!looked) log::warn("provider_batch_waits", {{"batch", id}, {"why", log::redact(looked.error().message)}});
  }
  if (auto gathered = co_await gather(); !gathered) co_return gathered;
  if (auto cancelled = co_await cancel_called_off(); !cancelled) co_return cancelled;
  if (auto woken = co_await wake_answered(); !woken) co_return woken;
  auto booked = co_await book_orphans();
  co_return booked;
}

Task<Result<void>> ProviderBatches::wake_answered() {
  for (;;) {
    const auto jobs = co_await engine_.database().read(engine_.home(), [](store::Tx& tx) { return answered_and_waiting(tx, kAtOnce, false); });
    if (!jobs) co_return std::unexpected(jobs.error());
    for (const JobId job : *jobs)
      if (auto woken = co_await door_.wake(job); !woken) co_return std::unexpected(woken.error());
    if (jobs->size() < kAtOnce || stopping_.cancelled()) co_return Result<void>{};
    if (door_.shared())                      // those that live elsewhere wait until their node has looked
      co_await Pause{.home = engine_.home(), .stopping = stopping_, .due = engine_.home().clock().mono() + kAskAgain, .timer = {}, .hook = {}, .handle = {}};
  }
}

Task<Result<void>> ProviderBatches::cancel_called_off() {
  for (;;) {
    const auto jobs = co_await engine_.database().read(engine_.home(), [](store::Tx& tx) { return answered_and_waiting(tx, kAtOnce, true); });
    if (!jobs) co_return std::unexpected(jobs.error());
    for (const auto& r : co_await door_.cancel(*jobs, "the batch was cancelled"))
      if (!r && r.error().code != ErrorCode::caller_conflict && r.error().code != ErrorCode::caller_not_found) co_return std::unexpected(r.error());
    if (jobs->size() < kAtOnce || stopping_.cancelled()) co_return Result<void>{};
  }
}

// What was answered for a job that is over cost something all the same.
Task<Result<void>> ProviderBatches::book_orphans() {
  auto calls = co_await engine_.database().read(engine_.home(), [](store::Tx& tx) { return orphaned_batch_calls(tx, kAtOnce); });
  if (!calls) co_return std::unexpected(std::move(calls.error()));
  for (BatchCall& call : *calls) {
    if (call.state == BatchCallState::answered) {
      const auto job = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return get_job(tx, call.job); });
      if (!job) co_return std::unexpected(job.error());
      if (*job) {
        ModelRequest request = request_of(**job, kReplyTime);
        request.answered = gateway::ProviderAnswer{.target = call.provider + "/" + call.model, .status = call.status, .body = std::move(call.answer)};
        const ModelReply reply = co_await caller_.call(std::move(request), &stopping_);
        if (stopping_.cancelled()) co_return Result<void>{};
        if (reply.error) log::warn("batch_call_not_booked", {{"job", to_string(call.job)}, {"why", reply.error->message}});
      }
    }
    auto gone = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return delete_batch_call(tx, call.job); });
    if (!gone) co_return gone;
  }
  co_return Result<void>{};
}

Task<Result<void>> ProviderBatches::gather() {
  while (!stopping_.cancelled()) {
    const JobId id = engine_.new_id();
    const WallTime now = engine_.home().clock().wall();
    auto batch = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<std::optional<ProviderBatch>> {
      if (auto mine = duty_.still_mine(tx); !mine) return std::unexpected(std::move(mine.error()));
      return begin_batch(tx, id, now, options_.most, options_.most_bytes);
    });
    if (!batch) co_return std::unexpected(std::move(batch.error()));
    if (!*batch) break;
    if (auto created = co_await create(std::move(**batch)); !created) log::warn("provider_batch_not_created", {{"batch", to_string(id)}, {"why", log::redact(created.error().message)}});
  }
  co_return Result<void>{};
}

const gateway::ProviderAccess* ProviderBatches::access_of(const ProviderBatch& batch) {
  const auto at = setup_->providers.find(batch.provider);
  return at == setup_->providers.end() ? nullptr : &at->second;
}

// That by whose name the batch was created: others may not see it.
Result<gateway::CredentialLease> ProviderBatches::credential_of(ProviderBatch& batch) {
  const auto& pool = access_of(batch)->credentials;
  for (gateway::TriedCredentials tried = 0;;) {
    auto lease = pool->pick(0, tried);
    if (!lease || batch.credential.empty() || lease->name() == batch.credential) {
      if (lease) batch.credential = lease->name();
      return lease;
    }
    tried |= lease->bit();
  }
}

// The reply's body. An error says by its code whether the provider refused (provider_rejected and the like) or could not.
Task<Result<std::string>> ProviderBatches::send(const ProviderBatch& batch, Result<llm::BatchAsk> ask) {
  if (!ask) co_return std::unexpected(std::move(ask.error()));
  const auto* access = access_of(batch);
  if (!ask->content_type.empty()) ask->call.headers.put("content-type", ask->content_type);
  const std::string_view body[] = {ask->body};
  const net::ClientRequest request{.method = ask->call.method, .url = ask->call.base, .target = ask->call.target, .headers = std::move(ask->call.headers),
                                   .body = ask->content_type.empty() ? net::Pieces{} : net::Pieces(body), .replay_safe = false};
  const auto& t = access->spec.timeouts;
  auto response = co_await access->transport->send(engine_.home(), request, {.connect = t.connect, .headers = kReplyTime}, &stopping_);
  if (!response) co_return std::unexpected(std::move(response.error()));
  auto text = co_await (*response)->read_all(kMostReply, engine_.home().clock().mono() + kReplyTime);
  const int status = (*response)->head().status;
  if (text && status >= 300) co_return std::unexpected(llm::parse_error(ask->call.wire, status, {}, *text));
  co_return text;
}

Task<Result<void>> ProviderBatches::refuse(const ProviderBatch& batch, std::string why) {
  log::warn("provider_batch_refused", {{"batch", tag_of(batch)}, {"provider", batch.provider}, {"why", log::redact(why)}});
  auto gone = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return end_provider_batch(tx, batch.id, {}); });
  co_return gone;
}

Task<Result<void>> ProviderBatches::mark_created(ProviderBatch batch, std::string remote) {
  batch.created = true;
  batch.remote = std::move(remote);
  log::info("provider_batch_created", {{"batch", tag_of(batch)}, {"provider", batch.provider}, {"model", batch.model}, {"remote", batch.remote}});
  auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return update_provider_batch(tx, batch); });
  co_return put;
}

// A refusal for good sends its calls the ordinary way; what may pass is tried again in the next turn.
Task<Result<void>> ProviderBatches::create(ProviderBatch batch) {
  if (!access_of(batch)) co_return co_await refuse(batch, "there is no such provider any more");
  const auto& spec = access_of(batch)->spec;
  const bool again = !batch.credential.empty();          // a try before this one was cut: it may be there
  auto lease = credential_of(batch);
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  const std::string secret(lease->secret());
  if (again && batch.api == llm::BatchApi::openai) {
    const auto recent = co_await send(batch, llm::ask_recent(spec, secret));
    if (!recent) co_return std::unexpected(recent.error());
    const auto there = llm::read_recent(*recent, tag_of(batch));
    if (!there) co_return std::unexpected(there.error());
    if (*there) co_return co_await mark_created(batch, **there);
  }
  auto items = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<std::vector<llm::BatchItem>> {
    if (auto mine = duty_.still_mine(tx); !mine) return std::unexpected(std::move(mine.error()));
    if (auto noted = update_provider_batch(tx, batch); !noted) return std::unexpected(std::move(noted.error()));
    return batch_items(tx, batch.id);
  });
  if (!items) co_return std::unexpected(std::move(items.error()));
  Result<std::string> made = std::string();
  if (batch.api == llm::BatchApi::anthropic) {
    made = co_await send(batch, llm::ask_create(spec, secret, *items));
  } else {
    auto file = co_await send(batch, llm::ask_upload(spec, secret, batch.operation, *items, tag_of(batch)));
    const auto id = file ? llm::read_created(*file) : Result<std::string>(std::unexpected(file.error()));
    made = id ? co_await send(batch, llm::ask_create(spec, secret, batch.operation, *id, tag_of(batch))) : id;
  }
  const auto remote = made ? llm::read_created(*made) : made;
  if (remote) co_return co_await mark_created(batch, *remote);
  using enum ErrorCode;
  const ErrorCode why = remote.error().code;
  if (why == provider_rejected || why == provider_auth || why == provider_quota || why == provider_context_length) co_return co_await refuse(batch, remote.error().message);
  co_return std::unexpected(remote.error());
}

// The provider has not got it.
Task<Result<void>> ProviderBatches::drop(const ProviderBatch& batch) {
  log::info("provider_batch_dropped", {{"batch", tag_of(batch)}, {"provider", batch.provider}});
  auto gone = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return end_provider_batch(tx, batch.id, {}); });
  co_return gone;
}

// Nobody waits for it. What the provider may have is cancelled there, and looked after until it has ended.
Task<Result<void>> ProviderBatches::call_off(ProviderBatch batch) {
  if (!batch.created && (batch.credential.empty() || batch.api == llm::BatchApi::anthropic)) co_return co_await drop(batch);
  if (!access_of(batch)) co_return co_await refuse(batch, "there is no such provider any more");
  if (batch.cancelled) co_return co_await look_after(std::move(batch));
  const auto& spec = access_of(batch)->spec;
  auto lease = credential_of(batch);
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  const std::string secret(lease->secret());
  if (!batch.created) {                                  // its creation was cut: it may be there
    const auto recent = co_await send(batch, llm::ask_recent(spec, secret));
    if (!recent) co_return std::unexpected(recent.error());
    const auto there = llm::read_recent(*recent, tag_of(batch));
    if (!there) co_return std::unexpected(there.error());
    if (!*there) co_return co_await drop(batch);
    batch.created = true;
    batch.remote = **there;
  }
  const auto told = co_await send(batch, llm::ask_cancel(spec, secret, batch.api, batch.remote));
  if (!told && told.error().code != ErrorCode::provider_rejected) co_return std::unexpected(told.error());      // rejected: it has ended already
  batch.cancelled = true;
  log::info("provider_batch_cancelled", {{"batch", tag_of(batch)}, {"provider", batch.provider}, {"remote", batch.remote}});
  auto noted = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return update_provider_batch(tx, batch); });
  co_return noted;
}

Task<Result<void>> ProviderBatches::look_after(ProviderBatch batch) {
  if (!access_of(batch)) co_return co_await refuse(batch, "there is no such provider any more");
  const auto& spec = access_of(batch)->spec;
  auto lease = credential_of(batch);
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  const std::string secret(lease->secret());
  const auto status = co_await send(batch, llm::ask_status(spec, secret, batch.api, batch.remote));
  if (!status && status.error().code == ErrorCode::provider_rejected) co_return co_await refuse(batch, status.error().message);
  const auto progress = status ? llm::read_progress(batch.api, *status) : Result<llm::BatchProgress>(std::unexpected(status.error()));
  if (!progress) co_return std::unexpected(progress.error());
  if (!progress->ended) co_return Result<void>{};
  if (!progress->why.empty()) co_return co_await refuse(batch, progress->why);
  std::vector<llm::BatchResult> results;
  std::vector<std::string> files = progress->files;
  if (batch.api == llm::BatchApi::anthropic) files = {std::string()};
  for (const std::string& file : files) {
    const auto text = co_await send(batch, llm::ask_results(spec, secret, batch.api, batch.remote, file));
    if (!text) co_return std::unexpected(text.error());
    for (auto& result : llm::read_results(batch.api, *text)) results.push_back(std::move(result));
  }
  log::info("provider_batch_ended", {{"batch", tag_of(batch)}, {"provider", batch.provider}, {"answers", results.size()}});
  auto kept = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return end_provider_batch(tx, batch.id, results); });
  co_return kept;
}

}  // namespace ballast::work
