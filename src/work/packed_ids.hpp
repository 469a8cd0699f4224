// Ids of jobs in a column: differences, since they mostly follow each other.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "work/job.hpp"

namespace ballast::work {

std::string pack_ids(std::span<const JobId> ids);
std::vector<JobId> unpack_ids(std::string_view packed);

}  // namespace ballast::work
