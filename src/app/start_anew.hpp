// Starting anew in place: the same program, arguments and environment, under the same process number, so that a service manager sees one service.
#pragma once
#include <string>

namespace ballast::app {

// Returns only where it could not, with why. Everything of this process must be over: what is left open and not marked to be closed stays so.
std::string start_anew();

}  // namespace ballast::app
