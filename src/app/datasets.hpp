// The datasets of this process, as flows reach them: an intent is judged, made into one statement, run read-only, and what comes back is masked.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "gateway/keys.hpp"
#include "query/run.hpp"
#include "work/stage_query.hpp"

namespace ballast::app {

// Thread-safe. What was begun with a dataset finishes with it, whatever a reload brings.
class DatasetShelf final : public work::DatasetDoor {
 public:
  // Borrowed; all outlive it. Answers are given on `home`.
  DatasetShelf(Scheduler& home, const Clock& clock, const gateway::KeyRing& keys) : home_(home), clock_(clock), keys_(keys) {}
  void use(query::Datasets datasets);
  bool has(std::string_view name) const { return find(name) != nullptr; }

  std::shared_ptr<const work::DatasetTopic> topic(std::string_view dataset) const override;
  Task<Result<json::object>> run(work::DatasetAsk ask, CancelToken cancel) override;

 private:
  struct Entry {
    query::Dataset dataset;
    work::DatasetTopic topic;
    query::Runner runner;
    Entry(query::Dataset d, const Clock& clock);
  };
  using EntryPtr = std::shared_ptr<Entry>;
  EntryPtr find(std::string_view name) const;
  Result<query::Principal> principal_of(const work::DatasetAsk& ask) const;

  Scheduler& home_;
  const Clock& clock_;
  const gateway::KeyRing& keys_;
  mutable std::mutex mutex_;
  std::map<std::string, EntryPtr, std::less<>> entries_;
};

}  // namespace ballast::app
