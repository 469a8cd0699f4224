// The operations of the HTTP face, as data: what /openapi.json and docs/api.md are made of. A table per family of routes.
#pragma once
#include <initializer_list>
#include <string_view>

namespace ballast::server {

struct Parameter {
  std::string_view name, in, description;
};
struct Operation {
  std::string_view method, path, tag, summary, description;
  std::initializer_list<Parameter> parameters;
  bool body = false;
};
using Operations = std::initializer_list<Operation>;

const Operations& call_operations();             // models, records, keys
const Operations& job_operations();              // jobs, flows, queues, webhooks
const Operations& people_operations();           // approvals, workers
const Operations& state_operations();

}  // namespace ballast::server
