#include "app/contract_report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/terminal.hpp"

namespace ballast::app {

namespace {

// Of text in an attribute or an element. XML has no way to write most control characters.
std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? '?' : c;
    }
  return out;
}

std::string place(const Breach& breach) { return breach.path.empty() ? "(all)" : breach.path; }

// On one line, whatever was found.
std::string line_of(const ContractReport::Result& result, const Breach& breach) {
  return one_line(fmt::format("broken: {}: {}: {}; found {}", result.name, place(breach), breach.expected, breach.found));
}

}  // namespace

bool ContractReport::broken() const {
  return std::ranges::any_of(results, [](const Result& r) { return !r.breaches.empty(); });
}

std::string ContractReport::text() const {
  std::string out;
  for (const auto& result : results)
    for (const auto& breach : result.breaches) out += line_of(result, breach) + "\n";
  const auto refused = std::ranges::count_if(results, &Result::refused);
  const auto wrong = std::ranges::count_if(results, [](const Result& r) { return !r.breaches.empty(); });
  const char* verdict = broken() ? "broken" : unavailable.empty() ? "holds" : "not known";
  return out + fmt::format("{}: {} inputs, {} refused, {} broken\n", verdict, results.size(), refused, wrong);
}

json::object ContractReport::json() const {
  json::array breaches;
  for (const auto& result : results)
    for (const auto& b : result.breaches)
      breaches.push_back(
          json::object{{"input", result.name}, {"path", b.path}, {"expected", b.expected}, {"found", b.found}});
  json::object out{{"holds", broken()              ? json::value(false)
                             : unavailable.empty() ? json::value(true)
                                                   : json::value(nullptr)},
                   {"asked", results.size()},
                   {"refused", std::ranges::count_if(results, &Result::refused)},
                   {"broken", std::move(breaches)}};
  if (!unavailable.empty()) out["could_not_run"] = unavailable;
  return out;
}

std::string ContractReport::junit() const {
  const auto failures = std::ranges::count_if(results, [](const Result& r) { return !r.breaches.empty(); });
  const int errors = unavailable.empty() ? 0 : 1;
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"contract {}\" tests=\"{}\" "
      "failures=\"{}\" errors=\"{}\">\n",
      xml(name), results.size() + static_cast<std::size_t>(errors), failures, errors);
  for (const auto& result : results) {
    out += fmt::format("    <testcase classname=\"contract.{}\" name=\"{}\"", xml(name), xml(result.name));
    if (result.breaches.empty()) {
      out += "/>\n";
      continue;
    }
    std::string all;
    for (const auto& breach : result.breaches)
      all += fmt::format("{}: {}; found {}\n", place(breach), breach.expected, breach.found);
    out += fmt::format(">\n      <failure message=\"{}: {}\">{}</failure>\n    </testcase>\n",
                       xml(place(result.breaches.front())), xml(result.breaches.front().expected), xml(all));
  }
  if (errors)
    out += fmt::format(
        "    <testcase classname=\"contract.{}\" name=\"could run\">\n      <error message=\"{}\"/>\n    </testcase>\n",
        xml(name), xml(unavailable));
  return out + "  </testsuite>\n</testsuites>\n";
}

}  // namespace ballast::app
