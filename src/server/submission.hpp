// From a body that asks for work to a submission that the engine takes.
#pragma once
#include "server/job_json.hpp"
#include "server/work_door.hpp"

namespace ballast::server {

// A flow's run is bound to the version in force, its input judged; the webhook may be reached. The errors name the member.
Result<void> make_ready(WorkDoor& door, work::Submission& submission);
// What the body says (`submission_from`), made ready.
Result<work::Submission> read_submission(WorkDoor& door, const JsonRef& body, const gateway::Principal& who);

}  // namespace ballast::server
