// A flow's `query` stage: a question over a dataset, by the hybrid road. A model turns the question into an intent and sees names and descriptions
// alone; a program judges the intent, makes the statement and runs it. What it refuses goes back to the model with the reason, `reasks` times.
//
// The datasets are query/'s, which stands beside work/: the stage reaches them through DatasetDoor.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "work/model_call.hpp"
#include "work/runner.hpp"

namespace ballast::work {

// What a model is told of a dataset: never a row, never the connection.
struct DatasetTopic {
  json::value schema;                        // JSON Schema of intents about it
  std::string guide;                         // what an intent is, and what the dataset's names mean
  std::optional<WallTime> as_of;             // of data that stands still: what "now" is; nothing: the clock
};

// An intent to run, in somebody's name.
struct DatasetAsk {
  std::string dataset;
  json::value intent;
  std::string key_id, user, feature;         // who submitted the run: row filters know them as key, team, user and feature
  json::object attributes;                   // what the flow says of the caller beside that
};

class DatasetDoor {
 public:
  virtual ~DatasetDoor() = default;
  // Null: no such dataset.
  virtual std::shared_ptr<const DatasetTopic> topic(std::string_view dataset) const = 0;
  // {intent, columns, rows, truncated, chart, text, sql, parameters, timing_ms}, or {intent, unanswerable}. caller_invalid_request and caller_too_large with the
  // place in the intent: another intent may do better. Anything else: no intent will.
  virtual Task<Result<json::object>> run(DatasetAsk ask, CancelToken cancel) = 0;
};

// The request by which a model makes an intent of a question. `today` is what ranges of time count from. It stands
// last, so that what goes before is the same from question to question and providers may keep it.
json::object intent_request(const QueryStage& stage, const DatasetTopic& topic, std::string_view system, std::string_view question, WallTime today);

// All borrowed; they outlive the performer.
Performer query_performer(ModelCaller& caller, DatasetDoor& door, const Clock& clock);

}  // namespace ballast::work
