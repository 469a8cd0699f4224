// Verdicts as the API and the command line show them. Money in dollars with nine decimals, shares from 0 to 1.
#pragma once
#include <vector>

#include "base/json.hpp"
#include "records/feedback.hpp"

namespace ballast::server {

json::object feedback_json(const records::Feedback& feedback);
// {"rows", "recent"[, "cut"]}: what /api/feedback answers.
json::object feedback_report_json(const records::FeedbackReport& report, const std::vector<records::Feedback>& recent);
// A call's record, as records::to_json has it, with what was said of it as its last member; as it was where nothing was.
std::string with_feedback(std::string record, const std::vector<records::Feedback>& feedback);

// caller_invalid_request naming `field` and what there is.
Result<records::FeedbackBy> feedback_by(std::string_view name, std::string_view field);

}  // namespace ballast::server
