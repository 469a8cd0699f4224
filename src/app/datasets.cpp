#include "app/datasets.hpp"

#include "query/answer.hpp"

namespace ballast::app {

namespace {

double ms(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

}  // namespace

DatasetShelf::Entry::Entry(query::Dataset d, const Clock& clock)
    : dataset(std::move(d)), topic{dataset.intent_schema(), fmt::format("{}\n{}", query::intent_guide(), dataset.describe()), dataset.as_of}, runner(dataset, clock) {}

void DatasetShelf::use(query::Datasets datasets) {
  std::map<std::string, EntryPtr, std::less<>> entries;
  for (auto& [name, dataset] : datasets) entries.emplace(name, std::make_shared<Entry>(std::move(dataset), clock_));
  const std::lock_guard lock(mutex_);
  entries_.swap(entries);
}

DatasetShelf::EntryPtr DatasetShelf::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second;
}

std::shared_ptr<const work::DatasetTopic> DatasetShelf::topic(std::string_view dataset) const {
  const auto entry = find(dataset);
  return entry ? std::shared_ptr<const work::DatasetTopic>(entry, &entry->topic) : nullptr;
}

// What is known of the key that submitted the run cannot be said otherwise by the flow.
Result<query::Principal> DatasetShelf::principal_of(const work::DatasetAsk& ask) const {
  query::Principal out{ask.attributes};
  const auto who = keys_.principal_of(ask.key_id, clock_.wall());
  if (!who) return fail(who.error());
  for (const auto& [name, value] : {std::pair<std::string_view, std::string_view>{"key", who->key_name()}, {"team", who->team()}, {"user", ask.user}, {"feature", ask.feature}}) {
    if (value.empty()) out.attributes.erase(name);
    else out.attributes[name] = value;
  }
  return out;
}

Task<Result<json::object>> DatasetShelf::run(work::DatasetAsk ask, CancelToken cancel) {
  const EntryPtr entry = find(ask.dataset);
  if (!entry) co_return fail(ErrorCode::caller_not_found, fmt::format("there is no dataset \"{}\"", ask.dataset), "dataset");
  const auto principal = principal_of(ask);
  if (!principal) co_return fail(principal.error());
  const MonoTime began = clock_.mono();
  const auto intent = query::read_intent(ask.intent, entry->dataset);
  if (!intent) co_return fail(intent.error());
  json::object out{{"intent", ask.intent}};
  if (!intent->unanswerable.empty()) {
    out["unanswerable"] = intent->unanswerable;
    co_return out;
  }
  const MonoTime read = clock_.mono();
  auto statement = query::build(*intent, entry->dataset, *principal, entry->runner.dialect(), entry->dataset.now(clock_));
  if (!statement) co_return fail(std::move(statement.error()));
  const MonoTime built = clock_.mono();
  if (cancel && cancel->cancelled()) co_return fail(ErrorCode::caller_cancelled, "cancelled");
  out["sql"] = statement->sql;
  out["parameters"] = statement->parameters_json();
  const auto answer = co_await entry->runner.run(home_, std::move(*statement));
  if (!answer) co_return fail(answer.error());
  for (auto& member : query::to_json_value(*answer)) out.insert(member);
  out["text"] = query::text_of(*answer);
  out["timing_ms"] = json::object{{"read", ms(read - began)}, {"build", ms(built - read)}, {"run", ms(answer->took)}};
  co_return out;
}

}  // namespace ballast::app
