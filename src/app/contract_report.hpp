// What holding a contract against a model or a flow has shown, for people, programs and test runners. Pure.
#pragma once
#include <string>
#include <vector>

#include "app/contract.hpp"

namespace ballast::app {

struct ContractReport {
  struct Result {
    std::string name;
    bool refused = false;
    std::vector<Breach> breaches;
  };
  std::string name;
  std::vector<Result> results;
  std::string unavailable;  // why not all could be asked; empty if all were

  bool broken() const;
  std::string text() const;
  // {"holds": true, false or null, "asked", "refused", "broken": [{"input", "path", "expected", "found"}], "could_not_run"}
  json::object json() const;
  // A test case for each input; what could not be asked is an error.
  std::string junit() const;
};

}  // namespace ballast::app
