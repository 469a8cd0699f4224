// Classifiers of the configuration: files of models, read and given to the routes that choose by them.
#pragma once
#include <string>
#include <vector>

#include "app/config.hpp"
#include "classify/classify.hpp"

namespace ballast::app {

// Errors name the file.
Result<classify::Model> read_intent_model(const std::string& path);

// Gives each route its classifier; a file is read once, however many routes name it. Errors: what a file is refused for; a target meant for
// a label that the classifier does not know; a classifier of complexity whose labels are not simple, medium and hard. The field is the route's.
Result<void> give_classifiers(const Config& config, std::vector<gateway::Route>& routes);

}  // namespace ballast::app
