// Contracts: the structure that a model or a flow answers with, pinned in a file and held against what another, or the same one later, answers.
// Pure: nothing here asks anybody. command_contract.cpp does.
//
// What came back is first made an *observed* value: {"finish": "stop", "content": …, "tool_calls": [{"name", "arguments"}]} of a model, where
// content is the JSON in the text if it is an object or an array, else the text; {"output": …} of a flow. The pinned structure is a JSON
// Schema of that value, so that people can read it, change it and add to it.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "schema/infer.hpp"
#include "schema/schema.hpp"

namespace ballast::app {

struct Contract {
  bool is_flow = false;
  std::string name;  // the model or the flow it was recorded with
  json::object
      request;  // of a model: the chat completion's body besides `model` and the input, which is appended to its messages
  std::vector<json::value> inputs;  // these must be answered
  json::value answer;  // JSON Schema of the observed value
};

// The file. Errors: caller_invalid_request with the member at fault.
Result<Contract> read_contract(const json::value& document);
json::value contract_document(const Contract& contract);
// With two blanks a level, for people and for version control; ends with a line's end.
std::string indented(const json::value& value);

// Gathers observed values into the schema of a contract.
class Recorder {
 public:
  void add(const json::value& observed);
  // `declared`: the schema that the answer was asked for in, or null. `open`: objects may have members that no sample had.
  json::value schema(bool is_flow, const json::value& declared, bool open) const;

 private:
  json::value tool_calls(bool open) const;

  std::set<std::string> finishes_;
  schema::Structure content_, output_;
  std::map<std::string, schema::Structure> tools_;  // arguments by name
  std::size_t samples_ = 0, with_tools_ = 0;
};

// What came back for one input.
struct Outcome {
  enum class Kind : unsigned char { answer, refusal, failure, unavailable };
  Kind kind = Kind::failure;
  json::value observed;  // of an answer
  std::string message, field;  // of the others; a refusal names the field it is about
};

// Of POST /v1/chat/completions. 4xx is a refusal but for what says that nothing could be asked (401, 404, 408, 429: unavailable); 5xx is a failure.
Outcome read_chat(int status, std::string_view body);
// Of a job that has ended, or of a submission that was refused.
Outcome read_job(int status, std::string_view body);

// One input and what it must lead to.
struct Case {
  std::string name;
  json::value input;
  bool must_answer = false;  // else a clear refusal does as well
};

// Inputs that mean harm, or nothing, or all there is room for, made of a good one: its texts are replaced, and of a flow's input members are
// left out. `context`: tokens that the model reads.
std::vector<Case> hostile_cases(const json::value& good, bool is_flow, std::uint64_t context);

// One way in which an outcome breaks the contract.
struct Breach {
  std::string path;  // in the observed value; "" is all of it
  std::string expected;  // "must be a string, is an integer"
  std::string found;  // what is there, shortened
};

std::vector<Breach> breaches(const Case& one, const Outcome& outcome, const schema::Schema& schema);

}  // namespace ballast::app
